"""Who reads history while series are forgotten gets the right rows, and a new chain gets no part of an old one."""

import queue
import threading

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.history.fold_processes import MaintainerProcess
from tests.history.fold_world import BEGIN_US, P0, P1, VIEW
from tests.history.forget_world import on_disk, wanted
from undertow.adapters import offline_forget, offline_query
from undertow.adapters.memory_stores import MemoryOnline
from undertow.adapters.offline_forget import ForgetHistory
from undertow.adapters.offline_history import with_local_parts
from undertow.adapters.offline_query import LogQuery
from undertow.core.errors import Unavailable
from undertow.history.forget import forget
from undertow.history.join import join
from undertow.history.rebuild import rebuild, retry
from undertow.stream.events import Restored
from undertow.stream.store_tally import Loss
from undertow.wiring.restoring import Restorer, RestoreSource

MEMORY = 256 << 20


@pytest.fixture
def world(tmp_path, memory_clock):
    """A log with rows of s0 before those of s1 and s2 in each part, so that these have other numbers afterwards."""
    world = on_disk(tmp_path, memory_clock).fill()
    world.backfill(250, 280)
    return world


@pytest.fixture
def forgets_once(world, monkeypatch):
    """Forget s0 between the moment when rows were found and the one when their vectors are read."""
    vectors, done = LogQuery._vectors, []

    def late(*arguments):
        if not done:
            done.append(world.forget("s0"))  # no listed file vanishes, so that nothing else begins again
        return vectors(*arguments)

    monkeypatch.setattr(LogQuery, "_vectors", late)
    return done


def test_a_store_that_is_filled_meanwhile_gets_the_vectors_of_the_right_rows(world, forgets_once):
    online = MemoryOnline()
    calm = retry(Console(quiet=True), wait=lambda _: None)
    done = rebuild(world.home, VIEW, online, read_memory_bytes=MEMORY, retry=calm, on_progress=lambda *_: None)
    assert (len(forgets_once), done.series) == (1, 2)
    assert {site for (site,) in online.rows} == {"s1", "s2"}
    for (site,), row in online.rows.items():
        offset = (row.event_us - BEGIN_US) // 1_000_000
        assert (f"s{offset % 3}", row.features["hidden"].tolist()) == (site, [offset, -offset])


class Tallied(MemoryOnline):
    """A store that has a tally, of which nobody asks."""

    def restored(self, claim):
        pass


def test_a_store_that_lost_its_data_is_restored_with_the_right_rows_though_a_file_changes_meanwhile(
    world, forgets_once
):
    online, told = Tallied(), queue.SimpleQueue()
    source = RestoreSource(log=world.home, view=VIEW, read_memory_bytes=MEMORY)
    restorer = Restorer(source, lambda: online, tell=told.put)
    restorer.noticed(Loss(reason="lost", claim="c", is_ours=True, is_first=True))
    assert isinstance(said := told.get(timeout=120), Restored), said
    assert len(forgets_once) == 1
    rows = {site: (row.event_us - BEGIN_US) // 1_000_000 for (site,), row in online.rows.items()}
    assert rows == {site: row.features["hidden"][0] for (site,), row in online.rows.items()} == {"s1": 277, "s2": 278}
    restorer.close()


def joined(world, folder):
    """Return the newest offset of each site, by its vector, 260 seconds after the beginning; None where it has none."""
    times = pd.to_datetime([BEGIN_US + 260_000_000] * 3, unit="us", utc=True)
    pd.DataFrame({"site": ["s0", "s1", "s2"], "event_timestamp": times}).to_parquet(folder / "rows.parquet")
    join(folder / "rows.parquet", folder / "out.parquet", log=world.home, view=VIEW, read_memory_bytes=MEMORY)
    found = pq.read_table(folder / "out.parquet")["hidden"].to_pylist()
    return [vector and vector[0] for vector in found]


def test_a_join_meanwhile_has_the_vectors_of_the_right_rows(world, tmp_path, forgets_once):
    assert joined(world, tmp_path) == [None, 259, 260]
    assert len(forgets_once) == 1


def test_if_rows_were_not_known_again_a_join_would_take_others_for_them(world, tmp_path, forgets_once, monkeypatch):
    monkeypatch.setattr(offline_query, "_require_same", lambda _: None)
    assert joined(world, tmp_path)[1:] != [259, 260]
    assert len(forgets_once) == 1


def test_a_reader_of_a_file_that_nobody_touched_is_not_begun_again(world):
    turns = []

    def fail(files):
        turns.append(files)
        message = "of its own"
        raise Unavailable(message)

    with pytest.raises(Unavailable, match="of its own"):
        with_local_parts(world.home, fail)
    assert len(turns) == 1


def test_where_a_chain_is_moved_aside_and_begun_anew_meanwhile_the_new_one_gets_no_part_of_the_old(world, monkeypatch):
    folder = world.disk / "windows/0"
    encode, one = offline_forget.encode_again, threading.Lock()

    def late(*arguments):
        content = encode(*arguments)
        with one:  # parts are rewritten at once
            begin_anew()
        return content

    def begin_anew():
        if folder.exists() and not (world.disk / "windows@t").exists():
            folder.parent.rename(world.disk / "windows@t")
            for note in (world.disk / "_chains").rglob("*.begun"):
                note.unlink()
            world.log = world.owner()
            world.publish(P0, 2)

    before = {path.name for path in folder.glob("*.parquet")}
    monkeypatch.setattr(offline_forget, "encode_again", late)
    assert world.forget("s1", is_now=True).is_done
    assert [path.name for path in folder.glob("*.parquet")] == [f"{0:020d}.parquet"]
    assert {path.name for path in (world.disk / "windows@t/0").glob("*.parquet")} == before
    assert "s1" not in world.series()
    assert world.owner().end(P0) == 2


def test_a_chain_that_is_moved_aside_before_a_part_is_read_keeps_its_rows(tmp_path, memory_clock, monkeypatch):
    world = on_disk(tmp_path, memory_clock)
    world.publish(P0, 5)
    read = offline_forget.read_all

    def late(path):
        if not (world.disk / "windows@t").exists():
            (world.disk / "windows").rename(world.disk / "windows@t")
            for note in (world.disk / "_chains").rglob("*.begun"):
                note.unlink()
            world.log = world.owner()
            world.publish(P0, 2)
        return read(path)

    monkeypatch.setattr(offline_forget, "read_all", late)
    assert world.forget("s1").is_done
    rows = {path.parts[-3]: series for path, series in world.files().items()}
    assert rows == {"windows": {"s0": 1}, "windows@t": {"s0": 2, "s2": 1}}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_beside_two_maintainer_processes_and_a_stream_no_row_comes_back(tmp_path, seed):
    world = on_disk(tmp_path, lambda: 1e9)
    rng = np.random.default_rng(seed)
    for _ in range(8):
        world.publish(P0, 3)
    maintainers = [MaintainerProcess(world.root) for _ in range(2)]

    def come(_):
        if len(world.parts(P0)) + len(world.parts(P1)) < 30:
            first = world.log.end(P1) or 0
            world.publish(P1, 1, rows=first % 3 != 1)  # nobody sends the series any more

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offline_forget, "hit_failpoint", come)
        for _ in range(int(rng.integers(1, 30))):
            come(None)
        history = ForgetHistory(world.home, VIEW, wanted("s1"), clock=world.clock)
        done = forget(history, history.find(), None, readers_s=86_400.0, is_now=True)
    faults = [fault for one in maintainers for fault in one.end()]
    assert done.is_done
    assert [fault for fault in faults if not fault.endswith("it will be tried again")] == []
    assert world.maintain().faults == ()
    assert "s1" not in world.series()
    ends = {0: world.log.end(P0), 1: world.log.end(P1)}
    expected = [(p, offset) for p, end in ends.items() for offset in range(end) if offset % 3 != 1]
    assert sorted((int(row[-2]), int(row[-1])) for row in world.rows()) == expected
