"""What was written before is read and gone on with: artifacts give the same vectors, chains go on where they ended."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import undertow
from undertow.adapters.offline_chains import Chain, chains
from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_history import whole_parts
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_table import DeltaHistory
from undertow.artifact.format.manifest import read_manifest
from undertow.history.join import join
from undertow.history.maintain import MaintainLimits, maintain
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.stream.ports import ChainPart

WRITTEN = sorted(path for path in Path(__file__).parent.iterdir() if (path / "artifact").is_dir())
P0, READ = Partition("windows", 0), 4
BEGIN_US, STEP_US = 1_767_225_600_000_000, 60_000_000


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name)
def before(request, tmp_path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "before"))


def test_an_artifact_has_its_space_and_its_vectors(before):
    with undertow.load(before / "artifact", device="cpu") as embedder:
        result = embedder.embed(pq.read_table(before / "windows.parquet"))
    assert result.faults == ()
    assert f"walk__{embedder.space[:8]}" in {path.name for path in (before / "offline").iterdir()}
    np.testing.assert_allclose(result["hidden"], np.load(before / "vectors.npy"), atol=1e-6)


def test_a_chain_goes_on_where_it_ended_and_its_rows_are_joined_with_those_that_follow(before):
    view = read_manifest(before / "artifact").view()
    vectors = np.load(before / "vectors.npy")
    log = FileOfflineLog(
        before / "offline", view, cluster_id="cluster", topic_id="topic", writer="now", clock=lambda: 1.8e9
    )
    assert log.end(P0) == READ
    assert next(iter(log.places(P0))).mark is not None
    rows = np.arange(READ, len(vectors))
    windows = pq.read_table(before / "windows.parquet")
    (name,) = (column.name for column in view.series)
    ids = np.array(windows["series"].combine_chunks().field(name).to_pylist(), object)
    batch = EmbeddingBatch(
        space=view.space,
        series={name: ids[rows]},
        event_us=BEGIN_US + rows * STEP_US,
        created_us=BEGIN_US + 500_000 + rows,
        features={"hidden": vectors[rows]},
    )
    log.publish(ChainPart(partition=P0, first=READ, next=len(vectors), lost=0, offsets=rows, embeddings=batch))
    home = view_folder(before / "offline", view)
    assert chains(home) == (Chain(folder="windows/0", parts=3, first=0, next=len(vectors), lost=0),)
    ends = pa.array(BEGIN_US + np.arange(len(vectors)) * STEP_US, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({name: pa.array(ids), "event_timestamp": ends}), before / "rows.parquet")
    joined = join(before / "rows.parquet", before / "out.parquet", log=home, view=view, read_memory_bytes=1 << 28)
    assert joined.found == len(vectors)
    found = np.stack(pq.read_table(before / "out.parquet")["hidden"].to_pylist())
    np.testing.assert_array_equal(found, vectors)


def test_a_log_is_folded_as_it_is_and_joined_the_same(before, tmp_path):
    view = read_manifest(before / "artifact").view()
    home = view_folder(before / "offline", view)
    asked = pq.read_table(whole_parts(home), columns=[column.name for column in view.series] + ["event_timestamp"])
    pq.write_table(asked, tmp_path / "asked.parquet")

    def joined():
        join(tmp_path / "asked.parquet", tmp_path / "out.parquet", log=home, view=view, read_memory_bytes=1 << 28)
        return pq.read_table(tmp_path / "out.parquet")

    expected, names = joined(), {path.name for path in (home / "windows/0").glob("*.parquet")}
    limits = MaintainLimits(grace_seconds=0)
    done = maintain(FileChains(home, view), DeltaHistory(home, view), limits, clock=lambda: 1.8e9)
    left = {path.name for path in (home / "windows/0").glob("*.parquet")}
    assert (done.folded, done.deleted, left) == (len(names) - 1, len(names) - 1, {max(names)})
    assert joined().equals(expected)
    log = FileOfflineLog(
        before / "offline", view, cluster_id="cluster", topic_id="topic", writer="now", clock=lambda: 1.8e9
    )
    assert log.end(P0) == READ
