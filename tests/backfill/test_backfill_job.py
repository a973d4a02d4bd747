"""A whole backfill on Ray: every window once, and again where it stopped."""

import functools
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle

from undertow.adapters.offline_history import with_local_parts
from undertow.adapters.offline_log import latest_in
from undertow.adapters.offline_parts import read_latest, read_metadata, read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.backfill.chunk_counts import ChunkCounts
from undertow.backfill.embed import BackfillRecipe, BackfillTools
from undertow.backfill.job import BackfillReport, backfill
from undertow.backfill.run import tell
from undertow.core.embedding import Embedded
from undertow.core.errors import Refused
from undertow.history.maintain import Maintained
from undertow.history.maintaining import maintain_folder
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import BackfillSettings, KafkaSettings

pytestmark = pytest.mark.ray

# The actors cannot import a test file, so its functions travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SPACE = "f" * 64
CONTRACT = InputContract(
    series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)
VIEW = SpaceView(name="v", space=SPACE, series=CONTRACT.series, features=(("mean", 1),))
CHUNK_ROWS = 4


def open_tools(weights: Path) -> BackfillTools:
    """Give the mean of each window; the value in the file `weights` cannot be embedded while the file is there."""

    def embed(windows):
        if weights.exists() and float(weights.read_text()) in windows.past["x"]:
            raise Refused("the weights are broken")
        means = (np.add.reduceat(windows.past["x"], windows.starts[:-1]) / windows.lengths).astype(np.float32)
        return Embedded(
            embeddings=EmbeddingBatch(
                space=SPACE,
                series=windows.series,
                event_us=windows.end_us,
                created_us=np.zeros(len(windows), np.int64),
                features={"mean": means[:, None]},
            ),
            rows=np.arange(len(windows)),
        )

    return BackfillTools(embed=embed)


def write_history(path, first, rows):
    table = pa.table(
        {
            "series": [{"sensor": f"s{n % 3}"} for n in range(first, first + rows)],
            "end": pa.array(range(first, first + rows), pa.int64()),
            "past": [{"x": [float(n)] * (1 + n % 3)} for n in range(first, first + rows)],
        }
    )
    pq.write_table(table, path, row_group_size=3)


@pytest.mark.usefixtures("ray_session")
def test_a_backfill_stopped_by_a_bad_chunk_goes_on_where_it_stopped_and_has_every_window_once(tmp_path):
    history = tmp_path / "history"
    history.mkdir()
    write_history(history / "a.parquet", 0, 10)
    write_history(history / "b.parquet", 10, 5)
    recipe = BackfillRecipe(
        history=history, contract=CONTRACT, view=VIEW, offline=OfflineSettings(path=tmp_path / "log"), job="first"
    )
    claim_folder(recipe.offline.path, VIEW)
    weights = tmp_path / "weights"
    weights.write_text("13.0")  # in the last chunk but one
    progress: list[tuple[int, int, int]] = []

    def run(**changes) -> BackfillReport:
        return backfill(
            recipe,
            functools.partial(open_tools, weights),
            settings=BackfillSettings(**{"chunk_rows": CHUNK_ROWS, "replicas": 1, **changes}),
            on_progress=lambda *numbers: progress.append(numbers),
            clock=lambda: 5.0,
            ticks=lambda: 5.0,
        )

    with pytest.raises(Refused, match=r"chunk [0-9a-f]{32} \(b\.parquet, rows 0 to 3\) failed: the weights are broken"):
        run()
    done = {path: path.stat().st_ino for path in recipe.folder.glob("*.parquet")}
    assert {read_metadata(path)["path"] for path in done} >= {"a.parquet"}
    assert progress[0] == (0, 5, 0)

    with pytest.raises(Refused, match=r"was begun with backfill\.chunk_rows = 4, now it is 5"):
        run(chunk_rows=5)

    weights.unlink()
    progress.clear()
    report = run(replicas=2)
    windows = 15 - sum(pq.read_metadata(path).num_rows for path in done)
    counts = ChunkCounts(windows=windows, odd_times=windows)
    assert report == BackfillReport(chunks=5, skipped=len(done), rows=windows, counts=counts, seconds=0.0)
    assert progress[0] == (len(done), 5, 0)
    assert progress[-1] == (5, 5, windows)
    assert len(progress) == 5 - len(done) + 1
    assert {path: path.stat().st_ino for path in recipe.folder.glob("*.parquet")}.items() >= done.items()
    table = read_rows(tmp_path / "log" / VIEW.view)
    assert sorted(table["event_timestamp"].cast(pa.int64()).to_pylist()) == list(range(15))
    assert sorted(mean for (mean,) in table["mean"].to_pylist()) == [float(n) for n in range(15)]

    assert run() == BackfillReport(chunks=5, skipped=5, seconds=0.0)
    lost = max(recipe.folder.glob("*.parquet"))  # as one is told to delete a damaged one
    lost.unlink()
    assert run().skipped == 4
    assert read_metadata(lost)["chunk"] == lost.stem
    assert read_rows(tmp_path / "log" / VIEW.view).num_rows == 15


def open_deadly_tools(marks: Path) -> BackfillTools:
    """As `open_tools`, but the window 5.0 is the end of its process, as Ray's memory monitor would make it."""
    tools = open_tools(marks / "none")

    def embed(windows):
        if 5.0 in windows.past["x"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return tools.embed(windows)

    return BackfillTools(embed=embed)


@pytest.mark.usefixtures("ray_session")
def test_workers_that_are_killed_again_and_again_end_the_job_with_what_to_set_and_what_is_done_is_kept(tmp_path):
    write_history(tmp_path / "h.parquet", 0, 10)
    recipe = BackfillRecipe(
        history=tmp_path / "h.parquet",
        contract=CONTRACT,
        view=VIEW,
        offline=OfflineSettings(path=tmp_path / "log"),
        job="first",
    )
    claim_folder(recipe.offline.path, VIEW)
    settings = BackfillSettings(chunk_rows=CHUNK_ROWS, replicas=1)
    with pytest.raises(Refused, match=r"\(h\.parquet, rows 4 to 7\) failed: 3 workers in a row were killed") as refusal:
        backfill(recipe, functools.partial(open_deadly_tools, tmp_path), settings=settings)
    for said in (
        "backfill.replicas",
        "RAY_memory_usage_threshold",
        "0.95",
        "raylet.out",
        "run the same backfill again",
    ):
        assert said in str(refusal.value)
    assert [*(recipe.folder / "_attempts").iterdir()] == []
    report = backfill(recipe, functools.partial(open_tools, tmp_path / "none"), settings=settings)
    assert report.skipped + report.counts.windows // CHUNK_ROWS >= report.chunks - 1
    assert sorted(mean for (mean,) in read_rows(tmp_path / "log" / VIEW.view)["mean"].to_pylist()) == [*range(10)]


@pytest.mark.usefixtures("ray_session")
def test_history_in_milliseconds_is_refused_with_the_unit_and_a_second_run_says_that_it_was(tmp_path):
    write_history(tmp_path / "h.parquet", 1_767_225_602_000, 10)
    recipe = BackfillRecipe(
        history=tmp_path / "h.parquet",
        contract=CONTRACT,
        view=VIEW,
        offline=OfflineSettings(path=tmp_path / "log"),
        job="first",
        times=KafkaSettings().event_time.at(1_800_000_000.0),
    )
    claim_folder(recipe.offline.path, VIEW)
    tools = functools.partial(open_tools, tmp_path / "none")
    report = backfill(recipe, tools, settings=BackfillSettings(chunk_rows=CHUNK_ROWS))
    assert report.took_nothing
    assert report.counts.rejects.counts == {"event-time": 10}
    found = (
        r"\(17672256\d{5} microseconds since the epoch; as milliseconds it would be 2026"  # whichever chunk was first
    )
    assert re.search(found, report.counts.rejects.first)
    assert sum(len(path.read_text().splitlines()) for path in recipe.rejects.glob("*.jsonl")) == 10
    again = backfill(recipe, tools, settings=BackfillSettings(chunk_rows=CHUNK_ROWS))
    assert (again.took_nothing, again.skipped, again.refused_before) == (False, 3, 3)


@pytest.mark.usefixtures("ray_session")
def test_one_damaged_file_of_12_keeps_none_of_the_others(tmp_path):
    history = tmp_path / "history"
    history.mkdir()
    for number in range(12):
        write_history(history / f"{number:02d}.parquet", 60 * number, 60)
    content = bytearray((bad := history / "05.parquet").read_bytes())
    content[4:404] = bytes(byte ^ 0xFF for byte in content[4:404])  # of the first page
    bad.write_bytes(content)
    (history / "notes.txt").write_text("no history")
    recipe = BackfillRecipe(
        history=history, contract=CONTRACT, view=VIEW, offline=OfflineSettings(path=tmp_path / "log"), job="first"
    )
    claim_folder(recipe.offline.path, VIEW)
    told: list[str] = []

    def run():
        return backfill(
            recipe,
            functools.partial(open_tools, tmp_path / "none"),
            settings=BackfillSettings(chunk_rows=100, replicas=2),
            tell=told.append,
        )

    report = run()
    assert (report.counts.windows, [*report.faults]) == (660, ["05.parquet"])
    lines = list(tell(report, recipe))
    assert sum(line.startswith(f"not done: {bad} is damaged, or cannot be read: ") for line in lines) == 1
    assert any(line.startswith("1 file is not done") for line in lines)
    assert told == ["left out: 1 that are no Parquet (notes.txt)"]
    write_history(bad, 300, 60)
    report = run()
    assert (report.counts.windows, report.skipped, report.faults) == (60, 11, {})
    table = read_rows(tmp_path / "log" / VIEW.view)
    assert sorted(table["event_timestamp"].cast(pa.int64()).to_pylist()) == list(range(720))


@pytest.mark.usefixtures("ray_session")
def test_a_bug_in_an_actor_surfaces_with_its_traceback_and_the_name_of_the_chunk(tmp_path):
    write_history(tmp_path / "h.parquet", 0, 3)
    recipe = BackfillRecipe(
        history=tmp_path / "h.parquet",
        contract=CONTRACT,
        view=VIEW,
        offline=OfflineSettings(path=tmp_path / "log"),
        job="first",
    )
    claim_folder(recipe.offline.path, VIEW)

    def broken():
        return {}["tools"]

    with pytest.raises(RuntimeError, match=r"rows 0 to 2\) failed: KeyError\('tools'\)") as raised:
        backfill(recipe, broken, settings=BackfillSettings())
    assert "in broken" in str(raised.value)
    assert not list(recipe.folder.glob("*.parquet"))


def test_a_job_must_have_a_name_that_readers_of_parts_do_not_skip(tmp_path):
    write_history(tmp_path / "h.parquet", 0, 3)
    recipe = BackfillRecipe(
        history=tmp_path / "h.parquet",
        contract=CONTRACT,
        view=VIEW,
        offline=OfflineSettings(path=tmp_path / "log"),
        job="_hidden",
    )
    with pytest.raises(Refused, match="begins with a letter or digit"):
        backfill(recipe, BackfillTools, settings=BackfillSettings())


@pytest.mark.usefixtures("ray_session")
def test_a_job_whose_chunks_are_in_the_table_of_history_is_done_and_goes_on_with_what_is_new(tmp_path):
    (history := tmp_path / "history").mkdir()
    write_history(history / "a.parquet", 0, 10)
    offline = OfflineSettings(path=tmp_path / "log", grace_seconds=0)
    recipe = BackfillRecipe(history=history, contract=CONTRACT, view=VIEW, offline=offline, job="first")
    home = claim_folder(offline.path, VIEW)

    def run() -> tuple[int, int]:
        settings = BackfillSettings(chunk_rows=CHUNK_ROWS, replicas=1)
        report = backfill(recipe, functools.partial(open_tools, tmp_path / "weights"), settings=settings)
        return report.skipped, report.counts.windows

    def means() -> list[float]:
        rows = with_local_parts(home, lambda files: [pq.read_table(path, partitioning=None) for path in files])
        return sorted(mean for table in rows for (mean,) in table["mean"].to_pylist())

    assert run() == (0, 10)
    assert maintain_folder(offline, VIEW) == Maintained(folded=3, rows=10, deleted=3)
    assert [*recipe.folder.glob("*.parquet")] == []
    assert run() == (3, 0)
    write_history(history / "b.parquet", 10, 5)
    latest = latest_in(home)
    assert run() == (3, 5)
    assert min(read_latest(path) for path in recipe.folder.glob("*.parquet")) > latest  # newer ones win
    assert means() == [float(n) for n in range(15)]
    assert maintain_folder(offline, VIEW).folded == 2
    assert run() == (5, 0)
    assert means() == [float(n) for n in range(15)]
