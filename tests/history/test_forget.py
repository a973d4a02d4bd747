"""Series leave history, wherever their rows are, and nothing else changes: on a disk and in an object store."""

import os
import time

import pyarrow.parquet as pq
import pytest

from tests.history.fold_world import GRACE_S, P0, P1, part
from tests.history.forget_world import DAY_S, in_store, on_disk
from tests.history.test_maintained_chains import answers
from undertow.adapters import offline_files, offline_forget, offline_table
from undertow.adapters.offline_table_version import open_table
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Unavailable
from undertow.history import forget as steps
from undertow.history.forget import Forgotten, forget


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def world(request, tmp_path, memory_clock):
    if request.param == "disk":
        return on_disk(tmp_path, memory_clock)
    return in_store(request.getfixturevalue("store_root"), memory_clock, request.getfixturevalue("s3"))


def test_no_file_has_a_row_of_it_and_all_other_rows_and_what_chains_tell_stay(world):
    world.fill()
    found = world.history("s1").find().rows()
    assert all(found[place] for place in ("table", "tail", "folded", "backfills"))
    others, told = world.others("s1"), answers(world)
    done = world.forget("s1", is_now=True)
    assert done.is_done
    assert done.rows["replaced"] >= 1
    assert {place: done.rows[place] for place in found} == {**found}
    assert (done.left, done.gone_by_s) == ({}, None)
    assert "s1" not in world.series()
    assert world.rows() == others
    assert answers(world) == told
    assert verify(world.root).unsealed == 0
    assert world.forget("s1", is_now=True).rows.total() == 0
    assert world.history("s1").find().files == ()


def test_without_haste_replaced_files_stay_for_readers_and_go_when_their_time_is_over(world):
    world.fill()
    done = world.forget("s0", "s2")
    assert done.is_done
    assert done.gone_by_s is not None
    assert done.left.keys() == {"replaced"}
    assert {path.parts[-3] for path, series in world.files().items() if {"s0", "s2"} & series.keys()} == {"@table"}
    assert {row[0] for row in world.rows()} == {"s1"}
    again = world.forget("s0", "s2", readers_s=0)
    assert (again.rows.total(), again.left, again.gone_by_s) == (0, {}, None)
    assert world.series().keys() == {"s1"}


def test_a_second_run_tells_the_time_that_the_first_has_told_also_when_the_log_was_cleaned(world):
    world.fill()
    told = world.forget("s0").gone_by_s
    assert abs(told - time.time() - DAY_S) < 600
    later = world.history("s0")
    later.clock = lambda: time.time() + 7_200
    again = forget(later, later.find(), None, readers_s=DAY_S, is_now=False)
    assert (again.rows.total(), again.left.keys()) == (0, {"replaced"})
    assert again.gone_by_s == told
    open_table(world.home / "@table").create_checkpoint()
    for path in sorted((world.disk / "@table/_delta_log").glob("*.json"))[:-1]:
        path.unlink()
    assert later.gone_by(later.find().at("replaced"), DAY_S) == told


def test_of_a_file_whose_removal_nobody_noted_the_time_counts_from_now(world):
    world.fill()
    history = world.history("s0")
    history.clock = lambda: 1_000.0
    assert history.gone_by(history.find().at("table"), 10.0) == 1_010.0
    assert history.gone_by([], 10.0) is None


def test_of_a_log_that_was_never_folded_and_of_one_without_that_series(world):
    world.publish(P0, 5)
    world.backfill(0, 4)
    others = world.others("s0")
    assert world.forget("s9").rows.total() == 0
    assert world.forget("s0").rows == {"tail": 2, "folded": 0, "backfills": 2, "table": 0}
    assert world.rows() == others
    assert not (world.disk / "@table").exists()


class Crash(Exception):  # noqa: N818
    """The process was killed."""


POINTS = [
    *((offline_forget, "after_forget_part", count) for count in (1, 2, 5)),
    (offline_forget, "after_forget_barrier", 1),
    (offline_forget, "after_forget_file", 1),
    (offline_forget, "after_forget_table", 1),
    (offline_forget, "after_forget_files", 1),
    (steps, "after_forget_online", 1),
]


@pytest.mark.parametrize(("module", "point", "count"), POINTS)
def test_wherever_it_is_killed_other_rows_stay_and_a_second_run_ends_it(world, monkeypatch, module, point, count):
    world.fill()
    others, told, left = world.others("s1"), answers(world), count

    def crash(at):
        nonlocal left
        left -= at == point
        if at == point and left == 0:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(module, "hit_failpoint", crash)
        with pytest.raises(Crash):
            world.forget("s1", is_now=True, online=lambda: 1)
    assert world.others("s1") == others
    assert answers(world) == told
    assert world.forget("s1", is_now=True).is_done
    assert "s1" not in world.series()
    assert world.rows() == others


@pytest.mark.parametrize(
    "point", ["after_forget_part", "after_forget_barrier", "after_forget_file", "after_forget_table"]
)
def test_a_maintainer_and_a_stream_at_each_step_of_it_lose_nothing_and_bring_nothing_back(world, monkeypatch, point):
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    world.fill()
    world.log.end(P0)
    acts = []

    def act(at):
        if at == point:
            acts.append(at)
            if len(acts) < 4:  # one who sends without end is never done with
                world.log.publish(part(P0, (end := world.log.end(P0)), end + 3))
            world.clock.advance(GRACE_S)
            done = world.maintain()
            assert done.faults == ()

    with monkeypatch.context() as patch:
        patch.setattr(offline_forget, "hit_failpoint", act)
        assert world.forget("s1", is_now=True).is_done
    assert acts
    ends = world.log.end(P0)
    assert world.forget("s1", is_now=True).is_done
    assert "s1" not in world.series()
    stream = [row for row in world.rows() if row[-2] == "0"]
    assert sorted(int(row[-1]) for row in stream) == [offset for offset in range(ends) if offset % 3 != 1]
    assert world.owner().end(P0) == ends
    assert answers(world)["verify"] == ()


class Slow:
    """The table of a maintainer into which rows come late: after s1 was forgotten."""

    def __init__(self, world):
        self.world, self.sites = world, []

    def snapshot(self):
        version = self.world.table().snapshot()

        class Snapshot:
            folded = staticmethod(version.folded)

            @staticmethod
            def append(rows, moves):
                self.sites += rows["site"].to_pylist()
                assert self.world.forget("s1", is_now=True).is_done
                return version.append(rows, moves)

        return Snapshot()


def test_a_maintainer_that_has_read_the_rows_before_is_refused_and_leaves_no_file(world):
    world.fill()
    world.publish(P1, 3)
    slow = Slow(world)
    assert world.maintain(table=slow).is_beaten
    assert "s1" in slow.sites
    assert "s1" not in world.series()
    world.maintain()
    assert "s1" not in world.series()


def test_it_is_refused_too_where_the_table_has_no_such_row_so_that_none_of_its_files_is_replaced(world):
    for rows in (True, False, True):  # s0, nothing, s2
        world.publish(P0, 1, rows=rows)
    world.maintain()
    world.publish(P0, 3)
    world.publish(P0, 1)
    assert world.history("s1").find().rows().keys() == {"tail"}
    slow = Slow(world)
    assert world.maintain(table=slow).is_beaten
    assert "s1" in slow.sites
    world.maintain()
    assert world.series().keys() == {"s0", "s2"}


def test_so_is_one_that_has_read_a_chunk_of_a_backfill_of_which_the_table_has_no_such_row(world):
    world.backfill(0, 1)
    world.maintain()
    world.backfill(1, 3)
    assert world.history("s1").find().rows().keys() == {"backfills"}
    slow = Slow(world)
    assert world.maintain(table=slow).is_beaten
    assert "s1" in slow.sites
    world.maintain()
    assert world.series().keys() == {"s0", "s2"}


def test_who_merges_small_files_meanwhile_is_refused_or_found(world, monkeypatch):
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    world.fill()
    world.publish(P0, 3)
    world.publish(P0, 3)
    others, write = world.others("s1"), offline_table.write_file

    def late(*arguments, **options):
        monkeypatch.setattr(offline_table, "write_file", write)
        assert world.forget("s1", is_now=True).is_done
        return write(*arguments, **options)

    monkeypatch.setattr(offline_table, "write_file", late)
    world.maintain()
    assert "s1" not in world.series()
    assert world.rows() == others


def test_a_writer_that_never_heard_of_its_part_takes_the_rewritten_one_for_its_own(world, monkeypatch):
    world.publish(P0, 3)
    log, some = world.log, part(P0, 3, 8)

    def lost(at):
        if at == "after_link":
            raise OSError(5, "the reply was lost")

    with monkeypatch.context() as patch:
        patch.setattr(offline_files, "hit_failpoint", lost)
        with pytest.raises(Unavailable):
            log.publish(some)
    assert world.forget("s1").rows["tail"] == 1 + 2
    log.publish(some)
    log.publish(part(P0, 8, 9))
    assert world.owner().end(P0) == 9
    assert world.series() == {"s0": 3, "s2": 3}


def test_a_part_of_the_version_before_goes_on_telling_when_its_last_row_was_delivered(tmp_path, memory_clock):
    world = on_disk(tmp_path, memory_clock)
    world.publish(P0, 5)  # the last row is of s1
    (path,) = (world.disk / "windows/0").glob("*.parquet")
    table = pq.read_table(path, partitioning=None)
    kept = {key: value for key, value in table.schema.metadata.items() if key != b"undertow.created_us"}
    pq.write_table(table.replace_schema_metadata(kept), path)
    told = answers(world)
    assert world.forget("s1").is_done
    assert answers(world) == told
    assert world.series() == {"s0": 2, "s2": 1}


def test_a_damaged_file_is_told_and_all_others_are_done(world):
    world.fill()
    damaged = world.home / f"@backfill/past/{106:032x}.parquet"
    content = bytearray(damaged.read_bytes())
    content[50] ^= 1
    damaged.unlink()
    offline_files.publish(damaged, bytes(content), within=world.home)
    done = world.forget("s1", is_now=True)
    assert not done.is_done
    assert [fault.startswith(f"{damaged} is damaged") for fault in done.faults] == [True]
    damaged.unlink()
    assert "s1" not in world.series()


def test_what_a_killed_writer_left_half_written_goes_too_if_nobody_writes_to_it(tmp_path, memory_clock):
    world = on_disk(tmp_path, memory_clock).fill()
    left, young = (world.disk / "windows/0" / f".{name}.tmp" for name in ("old", "young"))
    for path, age in ((left, 2 * 3600), (young, 0)):
        path.write_bytes(b"rows of s1")
        os.utime(path, (time.time() - age,) * 2)
    assert world.forget("s1").is_done
    assert (left.exists(), young.exists()) == (False, True)


def test_rows_that_come_without_end_are_told(world, monkeypatch):
    world.publish(P0, 3)

    def come(_):
        world.publish(P0, 3)

    monkeypatch.setattr(offline_forget, "hit_failpoint", come)
    done = world.forget("s1")
    assert isinstance(done, Forgotten)
    assert (done.is_done, done.left["tail"] > 0) == (False, True)
