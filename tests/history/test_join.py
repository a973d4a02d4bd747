"""Rows joined with the log as of their times, beside pandas' `merge_asof`."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from undertow.core.errors import Refused
from undertow.history.join import Joined, join
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.spaces import SpaceView

JUNE = 1_717_200_000_000_000
VIEW = SpaceView(
    name="pump",
    space="a" * 64,
    series=(IdColumn(name="site", type="string"), IdColumn(name="lap", type="integer")),
    features=(("hidden", 2), ("gate", 1)),
)
SCHEMA = offline_schema({"site": "string", "lap": "integer"}, ["hidden", "gate"])
MEMORY = 256 << 20


def write_part(path, rows):
    """One part of rows (site, lap, event us, created us, offset or None, number that the vectors are made of)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sites, laps, events, created, offsets, numbers = zip(*rows, strict=True) if rows else [()] * 6
    columns = {
        "site": sites,
        "lap": laps,
        "event_timestamp": pa.array(events, pa.int64()),
        "created": pa.array(created, pa.int64()),
        "hidden": [[n, -n] for n in numbers],
        "gate": [[n] for n in numbers],
        "space": ["a" * 64] * len(rows),
        "origin_partition": [None if offset is None else 0 for offset in offsets],
        "origin_offset": offsets,
    }
    pq.write_table(pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA), path)


def ask(folder, table, **options):
    """Join the rows of a table with the log in `folder`; return what is written, and what is said of it."""
    pq.write_table(table, folder / "rows.parquet")
    said = join(
        folder / "rows.parquet",
        folder / "out.parquet",
        **{"log": folder / "log", "view": VIEW, "read_memory_bytes": MEMORY, **options},
    )
    assert not list(folder.glob(".*"))  # neither what was spilled nor a half-written file stays
    return pq.read_table(folder / "out.parquet"), said


def rows_at(times, site="a", lap=1, kind=None):
    """So many rows of one series, at microseconds after JUNE."""
    kind = kind or pa.timestamp("us", tz="UTC")
    moments = pa.array([None if t is None else JUNE + t for t in times], pa.int64()).cast(pa.timestamp("us"))
    return pa.table({"site": [site] * len(times), "lap": [lap] * len(times), "event_timestamp": moments.cast(kind)})


def gates(table):
    return [None if gate is None else gate[0] for gate in table["gate"].to_pylist()]


@pytest.fixture
def log(tmp_path):
    """One series with windows at 10, 20 and 30 s, the second delivered several times."""
    second = 1_000_000
    write_part(tmp_path / "log/windows/0/0.parquet", [("a", 1, JUNE + 10 * second, JUNE, 0, 1)])
    late = [("a", 1, JUNE + 20 * second, JUNE + 9, 5, 2), ("a", 1, JUNE + 20 * second, JUNE + 9, 7, 3)]
    write_part(tmp_path / "log/windows/0/1.parquet", late)
    write_part(tmp_path / "log/windows/0/2.parquet", [("a", 1, JUNE + 20 * second, JUNE + 8, 9, 4)])
    write_part(tmp_path / "log/@backfill/job/x.parquet", [("a", 1, JUNE + 20 * second, JUNE + 9, None, 5)])
    write_part(tmp_path / "log/windows/1/0.parquet", [("a", 1, JUNE + 30 * second, JUNE, 0, 6)])
    write_part(tmp_path / "log/00000-schema.parquet", [])
    return tmp_path


# Against pandas ------------------------------------------------------------------------------------------------------

IDS = st.tuples(st.sampled_from(["a", "b", "", "ü\x00'\""]), st.sampled_from([-1, 0, 2**62]))
TIMES = st.integers(-30, 30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    vectors=st.lists(st.tuples(IDS, TIMES, st.integers(0, 3)), max_size=30),
    asked=st.lists(st.tuples(IDS, st.none() | TIMES, st.booleans()), min_size=1, max_size=30),
    tolerance=st.none() | st.integers(0, 20),
    cuts=st.integers(1, 4),
)
def test_it_equals_merge_asof(tmp_path_factory, vectors, asked, tolerance, cuts):
    folder = tmp_path_factory.mktemp("join")
    second = 1_000_000
    delivered = [
        (*ids, JUNE + time * second, JUNE + created, offset, float(offset))
        for offset, (ids, time, created) in enumerate(vectors)
    ]
    for number in range(cuts):
        write_part(folder / f"log/windows/0/{number}.parquet", delivered[number::cuts])
    rows = pd.DataFrame(
        {
            "site": [None if is_null else ids[0] for ids, _, is_null in asked],
            "lap": pd.array([ids[1] for ids, _, _ in asked], "Int64"),
            "event_timestamp": pd.array([None if t is None else JUNE + t * second for _, t, _ in asked], "Int64"),
            "own": np.arange(len(asked))[::-1],
        }
    )
    table = pa.Table.from_pandas(rows)
    time = table.schema.names.index("event_timestamp")
    table = table.set_column(time, "event_timestamp", table["event_timestamp"].cast(pa.timestamp("us", "UTC")))
    found, said = ask(folder, table, tolerance_s=tolerance)

    right = pd.DataFrame(delivered, columns=["site", "lap", "t", "created", "offset", "gate"])
    right = right.astype({"lap": "int64", "t": "int64", "gate": "float64"})
    right = right.sort_values(["created", "offset"]).drop_duplicates(["site", "lap", "t"], keep="last").sort_values("t")
    left = rows.dropna().astype({"lap": "int64", "event_timestamp": "int64"}).rename(columns={"event_timestamp": "t"})
    near = {} if tolerance is None else {"tolerance": tolerance * second}
    expected = pd.merge_asof(
        left.sort_values("t"), right.assign(then=right["t"]), on="t", by=["site", "lap"], **near
    ).set_index("own")
    expected = expected.reindex(rows["own"])
    assert gates(found) == [None if pd.isna(gate) else gate for gate in expected["gate"]]
    age = (expected["t"] - expected["then"]) / 1e6
    assert found["age_seconds"].to_pylist() == [None if pd.isna(one) else one for one in age]
    assert found["found"].to_pylist() == expected["gate"].notna().tolist()
    assert found.select(table.column_names).equals(table)
    assert said == Joined(rows=len(rows), found=int(expected["gate"].notna().sum()))


# One rule at a time --------------------------------------------------------------------------------------------------


def test_of_vectors_delivered_twice_the_one_created_last_counts_and_then_the_later_offset(log):
    found, _ = ask(log, rows_at([9_999_999, 10_000_000, 19_999_999, 20_000_000, 10**12]))
    assert gates(found) == [None, 1, 1, 3, 6]
    assert found["hidden"].to_pylist()[3] == [3, -3]
    assert found["age_seconds"].to_pylist()[2:4] == [9.999999, 0]


@pytest.mark.parametrize(
    ("kind", "gate"),
    [
        (pa.timestamp("ns", tz="UTC"), 3),
        (pa.timestamp("us", tz="Europe/Berlin"), 3),  # the same moment, however it is shown
        (pa.timestamp("us"), 3),  # without a zone it is UTC
        (pa.timestamp("ms", tz="UTC"), 3),
        (pa.timestamp("s"), 3),
        (pa.dictionary(pa.int32(), pa.timestamp("us", tz="UTC")), 3),
    ],
)
def test_a_time_is_a_moment_in_utc_whatever_its_unit_and_zone(log, kind, gate):
    table = rows_at([20_000_000])
    if pa.types.is_dictionary(kind):
        table = table.set_column(2, "event_timestamp", table["event_timestamp"].dictionary_encode())
    else:
        table = rows_at([20_000_000], kind=kind)
    found, _ = ask(log, table)
    assert gates(found) == [gate]
    stored = pq.read_schema(log / "rows.parquet")  # seconds become milliseconds there
    assert found.schema.field("event_timestamp").type == stored.field("event_timestamp").type


def test_nanoseconds_are_cut_off_downwards(log):
    at = (JUNE + 20_000_000) * 1_000
    times = pa.array([at - 1, at, at + 1, -1], pa.int64()).cast(pa.timestamp("ns", tz="UTC"))
    found, _ = ask(log, pa.table({"site": ["a"] * 4, "lap": [1] * 4, "event_timestamp": times}))
    assert gates(found) == [1, 3, 3, None]
    assert found["event_timestamp"].cast(pa.int64()).to_pylist() == [at - 1, at, at + 1, -1]


def test_own_columns_keep_their_types_and_what_pandas_noted(log):
    frame = pd.DataFrame({"site": pd.Categorical(["a", None]), "lap": [1.0, np.nan], "label": [1, 2]}, index=[7, 3])
    frame["event_timestamp"] = pd.Timestamp("2024-06-02", tz="Asia/Kolkata")
    table = pa.Table.from_pandas(frame).append_column("own", pa.array([{"x": [1]}, None]))
    found, said = ask(log, table)
    assert found.select(table.column_names).equals(pq.read_table(log / "rows.parquet"))
    assert found.to_pandas().index.tolist() == [7, 3]
    assert (gates(found), said) == ([6, None], Joined(rows=2, found=1))


def test_many_row_groups_and_batches_fit_together(tmp_path):
    n = 20_000
    rng = np.random.default_rng(3)
    rows = [
        ("a", int(lap), JUNE + int(t), JUNE, k, float(k)) for k, (lap, t) in enumerate(rng.integers(0, 500, (n, 2)))
    ]
    write_part(tmp_path / "log/0.parquet", rows)
    wide = SpaceView(name="p", space="a" * 64, series=VIEW.series, features=(("hidden", 4_000), ("gate", 4_000)))
    asked = rng.integers(-9, 600, (n, 2))
    table = rows_at(asked[:, 1].tolist()).set_column(1, "lap", pa.array(asked[:, 0]))
    # Declared so wide that a row group has a thousand rows, and a block as many: all but the first lie on disk.
    found, _ = ask(tmp_path, table, view=wide)
    right = pd.DataFrame(rows, columns=["site", "lap", "t", "created", "offset", "gate"])
    right = right.drop_duplicates(["lap", "t"], keep="last").sort_values("t")
    left = pd.DataFrame({"lap": asked[:, 0], "t": JUNE + asked[:, 1], "own": np.arange(n)}).sort_values("t")
    expected = pd.merge_asof(left, right, on="t", by="lap").sort_values("own")["gate"]
    assert gates(found) == [None if pd.isna(gate) else gate for gate in expected]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 20


def test_a_row_of_the_last_day_there_is_gets_its_newest_vector(log):
    end = int(dt.datetime(9999, 12, 31, tzinfo=dt.UTC).timestamp()) * 1_000_000
    found, _ = ask(log, rows_at([end - JUNE, 30_000_000]))
    assert gates(found) == [6, 6]
    assert found["age_seconds"].to_pylist() == [pytest.approx((end - JUNE) / 1e6 - 30), 0]


def test_no_row_no_found_row_and_a_series_of_null_type(log):
    assert ask(log, rows_at([]))[1] == Joined(rows=0, found=0)
    nobody = pa.table({"site": pa.nulls(1), "lap": [1], "event_timestamp": pa.array([JUNE]).cast(pa.timestamp("us"))})
    assert gates(ask(log, nobody)[0]) == [None]
    assert gates(ask(log, rows_at([20_000_000], site="z"))[0]) == [None]


# What is refused -----------------------------------------------------------------------------------------------------


def replaced(name, values):
    table = rows_at([1])
    return table.set_column(table.schema.names.index(name), name, values)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (rows_at([1]).drop(["lap"]), {}, r"expected in .* without lap, found site, event_timestamp"),
        (
            rows_at([1]).rename_columns(["sire", "lap", "timestamp"]),
            {},
            r'without site, event_timestamp, found .*"sire": is site meant\?.*"timestamp": is event_timestamp meant\?',
        ),
        (rows_at([1]), {"time": "when"}, r"the time when \(another column: --time NAME\)"),
        (replaced("lap", pa.array(["1"])), {}, "expected integers in the column lap .* found string"),
        (replaced("lap", pa.array([1.5])), {}, "expected integers of 64 bits in the column lap"),
        (replaced("lap", pa.array([2**64 - 1], pa.uint64())), {}, "expected integers of 64 bits in the column lap"),
        (replaced("site", pa.array([1])), {}, "expected strings in the column site .* found int64"),
        (replaced("event_timestamp", pa.array([JUNE])), {}, "expected a timestamp .* found int64"),
        (replaced("event_timestamp", pa.array([dt.date(2024, 6, 1)])), {}, "expected a timestamp .* found date32"),
        (rows_at([1]).append_column("gate", pa.array([1])), {}, "of its own that are called gate; .* --prefix"),
        (rows_at([1]).append_column("found", pa.array([1])), {}, "of its own that are called found; .* --prefix"),
        (replaced("event_timestamp", pa.array([2**62]).cast(pa.timestamp("ms"))), {}, "beyond the year 290,000"),
    ],
)
def test_rows_that_cannot_be_joined_are_refused_and_nothing_is_written(log, table, options, message):
    with pytest.raises(Refused, match=message):
        ask(log, table, **options)
    assert {path.name for path in log.iterdir()} == {"log", "rows.parquet"}


def test_a_prefix_lets_own_columns_be_called_as_features_are(log):
    found, _ = ask(log, rows_at([20_000_000]).append_column("gate", pa.array([7])), prefix="w_")
    assert found.column_names[3:] == ["gate", "w_hidden", "w_gate", "w_found", "w_age_seconds"]
    assert (found["gate"].to_pylist(), found["w_gate"].to_pylist()) == ([7], [[3]])


def test_a_feature_that_is_called_as_our_own_columns_is_joined_without_them(tmp_path):
    view = SpaceView(name="p", space="a" * 64, series=VIEW.series, features=(("found", 1),))
    schema = offline_schema({"site": "string", "lap": "integer"}, ["found"])
    write_part(tmp_path / "log/0.parquet", [("a", 1, JUNE, JUNE, 0, 1.0)])
    part = pq.read_table(tmp_path / "log/0.parquet").drop(["hidden"]).rename_columns(schema.names)
    pq.write_table(part, tmp_path / "log/0.parquet")
    with pytest.raises(Refused, match="leave these out: --bare"):
        ask(tmp_path, rows_at([1]), view=view)
    found, said = ask(tmp_path, rows_at([1]), view=view, is_bare=True)
    assert (found["found"].to_pylist(), found.num_columns, said.found) == ([[1.0]], 4, 1)


def test_a_log_that_is_not_there_a_damaged_part_and_the_rows_themselves_as_output_are_named(log):
    with pytest.raises(Refused, match=r"no parts of pump__aaaaaaaa below .*; run `undertow backfill`"):
        ask(log, rows_at([1]), log=log / "elsewhere")
    with pytest.raises(Refused, match="expected another file than"):
        join(log / "rows.parquet", log / "rows.parquet", log=log / "log", view=VIEW, read_memory_bytes=MEMORY)
    (log / "log/windows/0/1.parquet").write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(Refused, match=r"windows/0/1\.parquet"):
        ask(log, rows_at([20_000_000]))
    assert not (log / "out.parquet").exists()


def test_too_little_memory_is_refused_by_the_name_of_its_setting(tmp_path):
    rows = [("a", k, JUNE, JUNE, k, 1.0) for k in range(50_000)]
    write_part(tmp_path / "log/0.parquet", rows)
    with pytest.raises(Refused, match=r"offline\.read_memory_bytes"):
        ask(tmp_path, rows_at([1]), read_memory_bytes=1 << 20)


def test_a_text_file_is_no_parquet(tmp_path):
    Path(tmp_path / "rows.csv").write_text("site,lap")
    with pytest.raises(Refused, match=r"rows\.csv is no readable Parquet file"):
        join(tmp_path / "rows.csv", tmp_path / "out", log=tmp_path, view=VIEW, read_memory_bytes=MEMORY)
