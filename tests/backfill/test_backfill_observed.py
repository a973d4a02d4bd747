"""Files of observations are backfilled as the windows of a table are: each series whole, whatever the files' order."""

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import cloudpickle

import undertow
from undertow.adapters.observation_sort import FILE, ROW, sorted_rows
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.backfill.chunks import WHOLE, cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.backfill.job import _claim, backfill
from undertow.backfill.observed import _pieces, find_observations, write_pieces
from undertow.backfill.pieces import FOLDER, in_pieces
from undertow.core.embedding import Embedded
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import BackfillSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings

# The actors cannot import a test file, so its functions travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPACE = "e" * 64
PRICE = Column(name="price")
CONTRACT = InputContract(
    series=(IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer")),
    past=(Column(name="flow"), PRICE),
    future=(PRICE,),
    static=(Column(name="size"),),
    min_length=2,
    max_length=5,
    horizon=1,
)
VIEW = SpaceView(name="v", space=SPACE, series=CONTRACT.series, features=(("sums", 2),))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def embed_sums(windows):
    """A vector that says which window it is of."""
    sums = np.add.reduceat(windows.past["flow"], windows.starts[:-1]) + windows.static["size"]
    vectors = np.stack([sums, windows.future["price"][:, 0]], axis=1).astype(np.float32)
    rows = np.arange(len(windows))
    made = EmbeddingBatch(
        space=SPACE,
        series=windows.series,
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"sums": vectors},
    )
    return Embedded(embeddings=made, rows=rows, faults=())


def observations(rows=400):
    """Hourly rows of 12 series in no order, some of them missing, some of them bad."""
    rng = np.random.default_rng(7)
    chosen = rng.choice(12 * 60, rows, replace=False)
    flow = rng.normal(size=rows)
    flow[::50] = np.inf
    return pa.table(
        {
            "flow": flow,
            "unit": pa.array(chosen // 60 % 3, pa.int32()),
            "site": pa.array([None if row % 90 == 1 else f"s{place // 180}" for row, place in enumerate(chosen)]),
            "at": pa.array(
                [BEGAN + timedelta(hours=int(place % 60)) for place in chosen], pa.timestamp("ms", tz="UTC")
            ),
            "note": pa.array(["not needed"] * rows),
        }
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two files of observations and tables of what is known and of statics, and settings."""
    monkeypatch.chdir(tmp_path)
    table = observations()
    (tmp_path / "history").mkdir()
    pq.write_table(table[:150], tmp_path / "history" / "b.parquet", row_group_size=40)
    pq.write_table(table[150:], tmp_path / "history" / "a.parquet")
    hours = [BEGAN + timedelta(hours=hour) for hour in range(55)]
    pq.write_table(pa.table({"at": hours, "price": np.arange(55.0)}), tmp_path / "known.parquet")
    ids = [(f"s{site}", unit) for site in range(4) for unit in range(3)][1:]
    static = {"site": [site for site, _ in ids], "unit": [unit for _, unit in ids], "size": np.arange(11.0)}
    pq.write_table(pa.table(static), tmp_path / "static.parquet")
    windows = WindowsSettings(
        every="1h",
        time="at",
        fill={"flow": "forward"},
        max_gap=2,
        on="grid",
        known="known.parquet",
        static="static.parquet",
    )
    return Settings(
        windows=windows, backfill=BackfillSettings(chunk_rows=40), offline=OfflineSettings(path=tmp_path / "log")
    )


def recipe_of(settings, history):
    recipe = BackfillRecipe(history=history, contract=CONTRACT, view=VIEW, offline=settings.offline, job="job")
    claim_folder(recipe.offline.path, VIEW)
    return recipe


def done_chunks(recipe):
    contract, rows = (None, WHOLE) if recipe.observed else (CONTRACT, 40)
    chunks = cut(recipe.history, contract, space=SPACE, chunk_rows=rows).chunks
    embedder = ChunkEmbedder(recipe, BackfillTools(embed=embed_sums))
    return chunks, [embedder.embed(chunk) for chunk in chunks]


def in_log(recipe):
    """Return what a job wrote, in order of series and time."""
    rows = read_rows(recipe.folder).select(["site", "unit", "event_timestamp", "sums"])
    return rows.sort_by([(name, "ascending") for name in rows.column_names[:3]]).to_pylist()


@pytest.fixture
def of_pieces(place, tmp_path):
    """Return a function that gives the recipe of the pieces, in a block, by these settings."""

    def enter(settings=place):
        history = tmp_path / "history"
        observed = find_observations(history, settings.windows, CONTRACT)
        return in_pieces(recipe_of(settings, history), observed, settings)

    return enter


def test_vectors_are_those_of_the_windows_of_the_whole_table(place, of_pieces, tmp_path):
    with of_pieces() as recipe:
        chunks, counts = done_chunks(recipe)
    assert len(chunks) > 5
    tables = {"known": "known.parquet", "static": "static.parquet"}
    made = undertow.windows(observations(), CONTRACT, place.windows.spec(), **tables)
    (tmp_path / "other").mkdir()
    pq.write_table(made.to_arrow(), tmp_path / "windows.parquet")
    settings = Settings(offline=OfflineSettings(path=tmp_path / "other" / "log"))
    other = recipe_of(settings, tmp_path / "windows.parquet")
    done_chunks(other)
    assert in_log(recipe) == in_log(other)
    assert len(in_log(recipe)) == len(made) == sum(one.windows for one in counts) > 300
    reasons = {reason for one in counts for reason in one.rejects.counts}
    assert reasons == {"number", "series", "static", "known"}
    assert sum(one.rejects.counts.get("number", 0) for one in counts) == 8


@pytest.mark.s3
def test_in_a_log_in_a_store_they_are_the_same_and_no_piece_stays_there(place, of_pieces, store_root):
    with of_pieces() as recipe:
        done_chunks(recipe)
    stored = place.model_copy(update={"offline": place.offline.model_copy(update={"path": store_root / "log"})})
    with of_pieces(stored) as in_store:
        done_chunks(in_store)
        assert len([*(in_store.folder / FOLDER).walk_objects()]) > 5
    assert in_log(in_store) == in_log(recipe)
    assert [*(in_store.folder / FOLDER).walk_objects()] == []


def test_a_bad_row_is_listed_with_the_file_and_the_row_that_it_came_from(of_pieces):
    with of_pieces() as recipe:
        done_chunks(recipe)
    lines = [json.loads(line) for path in recipe.rejects.glob("*.jsonl") for line in path.read_text().splitlines()]
    infinite = sorted(one["detail"].partition(":")[0] for one in lines if one["reason"] == "number")
    rows = [(row, "b") if row < 150 else (row - 150, "a") for row in range(0, 400, 50)]
    assert infinite == sorted(f"row {row} of {name}.parquet" for row, name in rows)


def ids_of(recipe):
    return {chunk.id for chunk in cut(recipe.history, None, space=SPACE, chunk_rows=WHOLE).chunks}


def test_the_same_observations_are_the_same_chunks_and_another_meaning_is_other_ones(place, of_pieces):
    with of_pieces() as recipe:
        first = ids_of(recipe)
    same = place.model_copy(update={"windows": place.windows.model_copy(update={"every": "PT1H"})})
    with of_pieces(same) as recipe:
        assert ids_of(recipe) == first
    windows = place.windows.model_copy(update={"on": "observation"})
    with of_pieces(place.model_copy(update={"windows": windows})) as recipe:
        assert not ids_of(recipe) & first


def test_a_job_goes_on_with_the_settings_of_windows_that_it_was_begun_with(place, of_pieces):
    with of_pieces() as recipe:
        _claim(recipe, 40)
    for same in ({"lateness": "9h"}, {"every": "PT1H"}):  # the former is of streams alone
        with of_pieces(place.model_copy(update={"windows": place.windows.model_copy(update=same)})) as recipe:
            _claim(recipe, 40)
    other = place.model_copy(update={"windows": place.windows.model_copy(update={"on": "observation"})})
    with of_pieces(other) as recipe, pytest.raises(Refused, match=r"was begun with windows\.on = 'grid', now 'observ"):
        _claim(recipe, 40)


def test_pieces_stay_for_the_run_that_goes_on_and_are_gone_when_the_job_is_done(of_pieces):
    stopped = of_pieces()
    recipe = stopped.__enter__()
    stamps = {path: path.stat().st_mtime_ns for path in recipe.history.glob("*")}
    stopped.__exit__(Refused, Refused("a chunk failed"), None)
    with of_pieces() as recipe:
        assert {path: path.stat().st_mtime_ns for path in recipe.history.glob("*")} == stamps
    assert not (recipe.folder / FOLDER).exists()


SERIES = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, 1, 2])), max_size=40)


@given(SERIES, st.integers(1, 12))
def test_pieces_hold_whole_series_and_all_rows(tmp_path_factory, ids, rows):
    folder = tmp_path_factory.mktemp("pieces")
    table = {
        "site": pa.array([one for one, _ in ids], pa.string()),
        "unit": pa.array([one for _, one in ids], pa.int64()),
    }
    table |= {"at": pa.array(range(len(ids)), pa.int64()), "flow": pa.array([1.0] * len(ids), pa.float64())}
    pq.write_table(pa.table(table), folder / "rows.parquet")
    contract = InputContract(series=CONTRACT.series, past=(Column(name="flow"),), min_length=1, max_length=2)
    windows = WindowsSettings(every="1us", time="at")
    observed = find_observations(folder / "rows.parquet", windows, contract)
    pieces = []

    def write(_, content):
        pieces.append(pq.read_table(pa.BufferReader(content)))

    assert write_pieces(observed, write, chunk_rows=rows, read_memory_bytes=1 << 27, spill=folder, key="k") == len(
        pieces
    )
    assert sorted(row for piece in pieces for row in piece[ROW].to_pylist()) == list(range(len(ids)))
    assert {name for piece in pieces for name in piece[FILE].to_pylist()} <= {"rows.parquet"}
    keys = [set(zip(piece["site"].to_pylist(), piece["unit"].to_pylist(), strict=True)) for piece in pieces]
    assert sum(map(len, keys)) == len(set(ids))
    assert all(piece.num_rows >= rows for piece in pieces[:-1])


@given(SERIES, st.integers(1, 6), st.integers(1, 5))
def test_a_series_is_not_cut_where_a_batch_of_sorted_rows_ends(ids, rows, batch_rows):
    ordered = sorted(ids, key=lambda one: tuple((value is None, value or 0) for value in one))
    table = pa.table({"site": pa.array([one for one, _ in ordered], pa.string())})
    table = table.append_column("unit", pa.array([one for _, one in ordered], pa.int64()))
    pieces = list(_pieces(iter(table.to_batches(max_chunksize=batch_rows)), ["site", "unit"], rows))
    assert sum(piece.num_rows for piece in pieces) == len(ids)
    assert sum(len(piece.group_by(["site", "unit"]).aggregate([])) for piece in pieces) == len(set(ids))
    assert all(piece.num_rows >= rows for piece in pieces[:-1])


def test_files_that_differ_in_their_columns_and_those_that_are_none_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1], "t": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": [1], "t": [1]}), tmp_path / "2.parquet")
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    with pytest.raises(Refused, match="cannot be read as files of the same columns"):
        list(sorted_rows(files, ["a"], ["a"], "t", read_memory_bytes=1 << 27, spill=tmp_path))


def test_rows_are_taken_for_observations_only_where_the_settings_say_how(place, tmp_path):
    history = tmp_path / "history"
    assert find_observations(history, WindowsSettings(), CONTRACT) is None
    with pytest.raises(Refused, match="where each row is an observation"):
        cut(history, CONTRACT, space="", chunk_rows=40)
    other = place.windows.model_copy(update={"time": "end"})
    with pytest.raises(Refused, match="or windows with past and end, found neither"):
        find_observations(history, other, CONTRACT)
    renamed = pa.Table.rename_columns(observations(), ["Flow", "unit", "site", "at", "note"])
    pq.write_table(renamed, tmp_path / "renamed.parquet")
    with pytest.raises(Refused, match='expected a column flow, found none; there is "Flow"'):
        find_observations(tmp_path / "renamed.parquet", place.windows, CONTRACT)


def open_tools():
    return BackfillTools(embed=embed_sums)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_job_on_ray_writes_what_a_chunk_after_the_other_does(place, of_pieces, tmp_path):
    with of_pieces() as recipe:
        report = backfill(recipe, open_tools, settings=place.backfill, clock=lambda: 5.0)
    (tmp_path / "other").mkdir()
    other = place.model_copy(update={"offline": OfflineSettings(path=tmp_path / "other" / "log")})
    with of_pieces(other) as alone:
        chunks, counts = done_chunks(alone)
    assert (report.chunks, report.counts.windows) == (len(chunks), sum(one.windows for one in counts))
    assert in_log(recipe) == in_log(alone)
    with of_pieces() as again:
        assert backfill(again, open_tools, settings=place.backfill).skipped == len(chunks)
