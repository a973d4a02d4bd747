"""`undertow.windows`: any table of Python's, what is asked of a model, and what becomes of the windows."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import undertow
from tests.observations.conftest import TIME, bits, contract_of
from undertow.core.errors import Refused
from undertow.observations.faults import MEND_OFF, OBSERVATION_REASONS
from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.windows_arrow import windows_from_arrow

PRICE = Column(name="price")
SIZE = Column(name="size")
CONTRACT = contract_of(
    "flow",
    PRICE,
    Column(name="mode", categories=("x", "y")),
    series=(IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer")),
    future=(PRICE,),
    static=(SIZE,),
    horizon=2,
)
SPEC = undertow.WindowSpec(every="1h", fill={"flow": "forward"}, max_gap="1h")
HOURS = pd.date_range("2026-01-01", periods=12, freq="h", tz="UTC")


def frame():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "site": np.repeat(["a", "b"], 12),
            "unit": 7,
            TIME: [*HOURS, *HOURS],
            "flow": np.where(rng.random(24) < 0.2, np.nan, rng.normal(size=24)),
            "mode": rng.choice(["x", "y"], 24),
            "price": rng.random(24),
            "size": np.repeat([1.0, 2.0], 12),
            "note": [object()] * 24,  # of no kind that Arrow has
        }
    ).sample(frac=1, random_state=4)


def arrow(table):
    return pa.Table.from_pandas(table.drop(columns="note"), preserve_index=False)


class Handed:
    """What polars hands out: Arrow memory with a kind of texts of its own, behind one method."""

    def __init__(self, table):
        flat = arrow(table)
        kinds = [pa.string_view() if pa.types.is_string(field.type) else field.type for field in flat.schema]
        self._table = flat.cast(pa.schema(list(zip(flat.column_names, kinds, strict=True))))

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "form",
    [
        arrow,
        Handed,
        lambda table: duckdb.from_arrow(arrow(table)),
        lambda table: table.astype({"site": "category", "mode": "string"}).convert_dtypes(),
        lambda table: table.set_index("note"),
    ],
    ids=["Arrow", "polars", "DuckDB", "pandas' own types", "an index"],
)
def test_every_kind_of_table_gives_the_same_windows(form):
    windows = undertow.windows(frame(), CONTRACT, SPEC, known=frame())
    others = undertow.windows(form(frame()), CONTRACT, SPEC, known=form(frame()))
    assert len(windows) == 19
    assert bits(others) == bits(windows)


def test_a_path_is_read_as_parquet(tmp_path):
    pq.write_table(arrow(frame()), tmp_path / "rows.parquet")
    path = str(tmp_path / "rows.parquet")
    windows = undertow.windows(path, CONTRACT, SPEC, known=path, static=None)
    assert bits(windows) == bits(undertow.windows(frame(), CONTRACT, SPEC, known=frame()))
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match="is no readable Parquet file"):
        undertow.windows(path, CONTRACT, SPEC, known=frame())


def test_as_a_table_they_are_what_history_is_read_from():
    windows = undertow.windows(frame(), CONTRACT, SPEC, known=frame())
    read = windows_from_arrow(windows.to_arrow(), CONTRACT)
    assert read.bad == ()
    whole = windows.take(np.arange(len(windows)))
    for part in ("series", "past", "future", "static"):
        for name, column in getattr(whole, part).items():
            assert getattr(read.windows, part)[name].tolist() == column.tolist()
    assert read.windows.end_us.tolist() == windows.end_us.tolist() == whole.end_us.tolist()
    assert {name: column.tolist() for name, column in windows.series.items()} == {
        name: column.tolist() for name, column in whole.series.items()
    }


def test_no_row_and_no_good_row_give_no_window():
    for table in (frame()[:0], frame()[:1].assign(unit=None), frame()[:1].assign(flow=np.inf)):
        windows = undertow.windows(table, CONTRACT, SPEC, known=frame()[:0])
        assert len(windows) == 0
        assert windows.to_arrow().num_rows == 0
        assert len(windows.take(np.zeros(0, np.int64)).series["unit"]) == 0
        assert len(windows.faults) == len(table)


def test_a_fault_says_what_was_expected_and_what_was_found():
    table = frame().sort_values(["site", TIME]).reset_index(drop=True)
    table.loc[1, TIME] += pd.Timedelta("1s")
    table.loc[2, "site"] = ""
    table.loc[3, "flow"] = -np.inf
    table.loc[4, "mode"] = "z" * 60
    table.loc[5, "size"] = 3.0
    table.loc[6, TIME] = pd.NaT
    faults = undertow.windows(table, CONTRACT, SPEC, known=frame()).faults
    assert [(fault.row, fault.reason, fault.detail.partition("found ")[2]) for fault in faults] == [
        (1, "off-grid", f"2026-01-01T01:00:01.000000Z, 1s off: {MEND_OFF}"),
        (2, "series", ""),
        (3, "number", "-inf"),
        (4, "category", "z" * 40 + "..."),
        (5, "static", "3.0"),
        (6, "time", "None"),
    ]
    assert {fault.reason for fault in faults} <= set(OBSERVATION_REASONS)
    assert faults[0].detail.startswith(f"{TIME}: expected a time within windows.tolerance (0) of a grid point, found ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: arrow(table.rename(columns={"flow": "Flow"})),
            'expected a column flow, found none; there is "Flow"',
        ),
        (lambda table: table.assign(flow="much"), "flow: expected numbers, found "),
        (lambda table: table.assign(flow=True), r"flow: expected numbers, found bool, not taken for 0 and 1"),
        (lambda table: table.assign(unit="7"), "unit: expected integers of 64 bits, found "),
        (lambda _: [1, 2], "expected a table .* found list"),
    ],
)
def test_a_table_that_holds_no_such_observations_is_refused(change, message):
    with pytest.raises(Refused, match=message):
        undertow.windows(change(frame()), CONTRACT, SPEC, known=frame())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": CONTRACT, "spec": {"each": "1h"}}, "expected the keys of undertow.WindowSpec"),
        ({"model": CONTRACT, "spec": "1h"}, "expected a WindowSpec, or a dictionary of its keys, found str"),
        ({"model": 7, "spec": SPEC}, "expected the folder of an artifact, or what undertow.load returns, found int"),
        ({"model": CONTRACT}, "found windows.every not set"),
    ],
)
def test_a_wrong_call_is_refused(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=message):
        undertow.windows(frame(), **given)


def test_without_a_specification_the_settings_say_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ("[windows]", 'every = "1h"', 'max_gap = "1h"', "[windows.fill]", 'flow = "forward"')
    (tmp_path / "undertow.toml").write_text("\n".join(lines))
    windows = undertow.windows(frame(), CONTRACT, known=frame())
    assert bits(windows) == bits(undertow.windows(frame(), CONTRACT, SPEC, known=frame()))
    monkeypatch.setenv("UNDERTOW_WINDOWS__FILL", "none")
    assert len(undertow.windows(frame(), CONTRACT, known=frame())) < len(windows)


@pytest.mark.parametrize(
    ("hours", "spec", "why"),
    [
        ([0, 1, 2, 3, 4, 6, 7], {"min_length": 6}, "longest run: 5 steps of 1h, a window needs 6"),
        ([0, 2, 4], {"min_length": 2}, "longest run: 1 step of 1h, a window needs 2"),
        ([1], {"stride": 5}, "longest run: none at which a window may end, a window needs 1"),
        ([], {}, "longest run: none at which a window may end, a window needs 1"),
        ([0, 1], {"min_length": 2}, ""),
    ],
)
def test_where_there_is_no_window_it_is_said_what_was_found_and_what_one_needs(hours, spec, why):
    times = pa.array([1_767_225_600_000_000 + 3_600_000_000 * hour for hour in hours], pa.int64())
    flow = pa.array([1.0] * len(hours), pa.float64())
    table = pa.table({"site": pa.array(["a"] * len(hours), pa.string()), "event_timestamp": times, "flow": flow})
    windows = undertow.windows(table, contract_of("flow", max_length=8), {"every": "1h", **spec})
    assert (windows.why_none, bool(len(windows))) == (why, not why)
    assert repr(windows).endswith(f"; {why}>" if why else "refused>")


def test_what_is_printed_of_windows_is_one_line():
    table = pa.table(
        {
            "site": ["a"] * 3,
            "event_timestamp": [1_767_225_600_000_000, 1_767_229_200_000_000, None],
            "flow": [1.0, 2.0, 3.0],
        }
    )
    windows = undertow.windows(table, contract_of("flow"), {"every": "1h", "min_length": 1})
    assert repr(windows) == "<Windows: 2 of 1 series, 1 row refused>"


@pytest.mark.parametrize(
    ("renamed", "told"),
    [
        (
            {"price": "prize"},
            r"price is known ahead: .*that table has site, unit, .*prize.*; there is .prize.: is price",
        ),
        (
            {TIME: "time"},
            r"known ahead \(windows.known, known=\): expected a column .*windows.time .*columns: site, .*note",
        ),
        (
            {"site": "sites"},
            r"known=\): expected the id site, since .*several rows of one time.*; there is .sites.: is",
        ),
    ],
)
def test_a_wrong_column_of_what_is_known_ahead_is_told_with_the_columns_that_there_are(renamed, told):
    for known in (frame(), arrow(frame()).append_column("note", [["a"] * 24])):
        wrong = (
            known.rename(columns=renamed)
            if isinstance(known, pd.DataFrame)
            else known.rename_columns([renamed.get(name, name) for name in known.column_names])
        )
        with pytest.raises(Refused, match=told):
            undertow.windows(frame(), CONTRACT, SPEC, known=wrong)


def test_a_misspelt_column_of_a_data_frame_is_told_by_the_one_that_is_there():
    with pytest.raises(Refused, match=r"expected a column flow, found none; there is .Flows.: is flow meant?"):
        undertow.windows(frame().rename(columns={"flow": "Flows"}), CONTRACT, SPEC, known=frame())
    with pytest.raises(
        Refused, match=r"the table of statics .*: expected a column site, found none.*columns: site_, size"
    ):
        undertow.windows(frame(), CONTRACT, SPEC, known=frame(), static=pd.DataFrame({"site_": ["a"], "size": [1.0]}))


def test_rows_of_what_is_known_that_say_nothing_are_told_where_there_is_no_window():
    windows = undertow.windows(frame(), CONTRACT, SPEC, known=frame().assign(price=np.inf))
    told = "24 of 24 rows of what is known ahead say nothing (number 24), for example row "
    assert told in windows.why_none


def test_a_column_whose_name_is_a_number_is_not_the_one_of_that_text():
    table = frame().rename(columns={"flow": 3})
    contract = contract_of("3")
    with pytest.raises(Refused, match="expected a column 3"):
        undertow.windows(table, contract, {"every": "1h", "min_length": 1})
