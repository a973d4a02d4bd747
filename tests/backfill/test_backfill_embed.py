"""What an actor does with one chunk, without Ray: order of effects, rejects, stores that do not answer."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.adapters.memory_stores import MemoryOnline
from undertow.adapters.offline_parts import read_metadata, read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.backfill.chunk_counts import ChunkCounts
from undertow.backfill.chunks import cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.core.embedding import Embedded
from undertow.core.errors import Unavailable
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Fault
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.stream.retry import Retry

SPACE = "e" * 64
CONTRACT = InputContract(
    series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)
VIEW = SpaceView(name="v", space=SPACE, series=CONTRACT.series, features=(("mean", 1),))


def embed_means(windows):
    """The mean of each window; those of series `poison` cannot be embedded."""
    rows = np.flatnonzero(windows.series["sensor"] != "poison")
    sums = np.add.reduceat(windows.past["x"], windows.starts[:-1])
    means = (sums / windows.lengths).astype(np.float32)[:, None]
    whole = EmbeddingBatch(
        space=SPACE,
        series=windows.series,
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"mean": means},
    )
    return Embedded(
        embeddings=whole.take(rows),
        rows=rows,
        faults=tuple(
            Fault(row=int(row), reason="not-finite", detail="poison")
            for row in np.flatnonzero(windows.series["sensor"] == "poison")
        ),
    )


def prepare(tmp_path, windows, *, online=None, retry=None):
    """Write history of (sensor, end, xs) and return its recipe, one chunk, and the embedder of chunks."""
    table = pa.table(
        {
            "series": [{"sensor": sensor} for sensor, _, _ in windows],
            "end": pa.array([end for _, end, _ in windows], pa.int64()),
            "past": pa.array([{"x": xs} for _, _, xs in windows], pa.struct([("x", pa.list_(pa.float64()))])),
        }
    )
    (tmp_path / "history").mkdir(exist_ok=True)
    pq.write_table(table, tmp_path / "history" / "h.parquet")
    recipe = BackfillRecipe(
        history=tmp_path / "history",
        contract=CONTRACT,
        view=VIEW,
        offline=OfflineSettings(path=tmp_path / "log"),
        job="first",
    )
    claim_folder(recipe.offline.path, VIEW)
    (chunk,) = cut(recipe.history, CONTRACT, space=SPACE, chunk_rows=100).chunks
    tools = BackfillTools(embed=embed_means, online=online)
    return recipe, chunk, ChunkEmbedder(recipe, tools, retry=retry)


def test_a_chunk_becomes_a_part_without_origin_that_says_where_it_comes_from(tmp_path):
    recipe, chunk, embedder = prepare(tmp_path, [("a", 1, [1.0, 3.0]), ("b", 2, [5.0])])
    assert embedder.embed(chunk) == ChunkCounts(windows=2, odd_times=2)
    rows = read_rows(tmp_path / "log" / VIEW.view).drop_columns(["event_timestamp", "created"]).to_pylist()
    assert rows == [
        {"sensor": sensor, "mean": [mean], "space": SPACE, "origin_partition": None, "origin_offset": None}
        for sensor, mean in (("a", 2.0), ("b", 5.0))
    ]
    said = read_metadata(recipe.folder / f"{chunk.id}.parquet")
    assert (said["job"], said["path"], said["row"], said["rows"]) == ("first", "h.parquet", "0", "2")


def test_the_newest_of_each_series_goes_online_and_never_over_something_newer(tmp_path):
    online = MemoryOnline()
    live = EmbeddingBatch(
        space=SPACE,
        series={"sensor": np.array(["b"], object)},
        event_us=np.array([50]),
        created_us=np.array([1]),
        features={"mean": np.array([[99.0]], np.float32)},
    )
    online.write(live)
    windows = [("a", 3, [3.0]), ("a", 4, [4.0]), ("a", 2, [2.0]), ("b", 9, [9.0])]
    _, chunk, embedder = prepare(tmp_path, windows, online=online)
    embedder.embed(chunk)
    held = {key[0]: (row.event_us, row.features["mean"].tolist()) for key, row in online.rows.items()}
    assert held == {"a": (4, [4.0]), "b": (50, [99.0])}


def test_rejects_name_their_rows_and_lie_where_no_reader_of_parts_looks(tmp_path):
    windows = [("a", 1, [1.0]), ("a", 2, [None]), ("poison", 3, [1.0]), ("b", 4, [4.0]), ("b", None, [4.0])]
    recipe, chunk, embedder = prepare(tmp_path, windows)
    done = embedder.embed(chunk)
    assert (done.windows, done.rejects.counts) == (2, {"number": 1, "not-finite": 1, "end": 1})
    assert done.rejects.first.startswith("row 1 of h.parquet: past.x[0]: expected")
    lines = (recipe.folder / "_rejects" / f"{chunk.id}.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(each["path"], each["row"], each["reason"]) for each in found] == [
        ("h.parquet", 1, "number"),
        ("h.parquet", 2, "not-finite"),
        ("h.parquet", 4, "end"),
    ]
    assert "past.x[0]" in found[0]["detail"]
    assert pq.ParquetDataset(recipe.offline.path / VIEW.view).read().num_rows == 2
    assert len(duckdb.read_parquet(f"{recipe.offline.path / VIEW.view}/**/*.parquet").fetchall()) == 2


def test_a_chunk_without_a_good_window_leaves_an_empty_part_so_that_it_is_done(tmp_path):
    recipe, chunk, embedder = prepare(tmp_path, [("a", 1, []), ("poison", 2, [1.0])])
    done = embedder.embed(chunk)
    assert (done.windows, done.rejects.total) == (0, 2)
    assert pq.read_metadata(recipe.folder / f"{chunk.id}.parquet").num_rows == 0


def test_a_chunk_done_twice_is_there_once(tmp_path):
    _, chunk, embedder = prepare(tmp_path, [("a", 1, [1.0]), ("b", 1, [None])], online=MemoryOnline())
    assert embedder.embed(chunk) == embedder.embed(chunk)
    assert read_rows(tmp_path / "log" / VIEW.view).num_rows == 1


def test_a_store_that_answers_again_is_tried_again(tmp_path):
    online = MemoryOnline(writes=[Unavailable("down"), Unavailable("still down")])
    _, chunk, embedder = prepare(tmp_path, [("a", 1, [1.0])], online=online, retry=Retry(wait=lambda _: None))
    embedder.embed(chunk)
    assert list(online.rows) == [("a",)]


def test_a_store_that_stays_down_leaves_the_chunk_undone(tmp_path):
    online = MemoryOnline(writes=[Unavailable("down"), Unavailable("still down")])
    recipe, chunk, embedder = prepare(
        tmp_path,
        [("a", 1, [1.0])],
        online=online,
        retry=Retry(wait=lambda _: None, give_up=iter([False, True]).__next__),
    )
    with pytest.raises(Unavailable, match="still down"):
        embedder.embed(chunk)
    assert not recipe.folder.exists()
