"""Chunks of backfills in the table of history: each row once, deleted after a grace time, and never embedded again."""

import os
import shutil

import pytest

from tests.history.fold_world import BEGIN_US, GRACE_S, JOB, P0, World, places_in, upto
from undertow.adapters import offline_jobs
from undertow.adapters.offline_batches import folded_chunks, last_batch, read_batches
from undertow.adapters.offline_history import job_ends, table_files, whole_parts, with_parts
from undertow.adapters.offline_log import latest_in
from undertow.adapters.offline_verify import verify
from undertow.commands.promotion import newest_event
from undertow.core.errors import Refused, Unavailable
from undertow.history.maintain import Maintained, MaintainLimits, maintain
from undertow.storage.local_copies import local_copies
from undertow.stream.history_ports import FoldedUpTo, positions


def backfilled(*spans):
    return [(JOB, number) for first, after in spans for number in range(first, after)]


def in_table(world):
    with local_copies(table_files(world.home)) as files:
        return places_in(files)


@pytest.fixture(params=["disk", pytest.param("store", marks=pytest.mark.s3)])
def world(request, tmp_path, memory_clock):
    root = request.getfixturevalue("store_root") if request.param == "store" else tmp_path / "log"
    world = World(root, memory_clock)
    world.backfill(0, 3)
    world.backfill(3, 5)
    return world


def test_chunks_go_into_the_table_and_their_files_after_the_grace_time_and_what_they_said_stays(world):
    told = latest_in(world.home), newest_event(world.home)
    assert told[0] == BEGIN_US + 4
    assert world.maintain() == Maintained(folded=2, rows=5)
    assert (world.places(), in_table(world), len(world.chunks())) == (backfilled((0, 5)), backfilled((0, 5)), 2)
    assert world.maintain() == Maintained()
    world.clock.advance(GRACE_S)
    assert world.maintain() == Maintained(deleted=2)
    assert (world.places(), world.chunks()) == (backfilled((0, 5)), [])
    assert (latest_in(world.home), newest_event(world.home)) == told
    assert {*folded_chunks(world.home / "@backfill/past")} == {f"{first:032x}" for first in (0, 3)}
    assert verify(world.root).faults == ()
    assert world.maintain() == Maintained()


def test_a_job_that_goes_on_later_is_folded_on_and_others_beside_it(world):
    world.maintain()
    world.backfill(5, 6)
    world.backfill(20, 22, job="other")
    world.publish(P0, 2)
    world.publish(P0, 2)
    assert world.places() == [*upto(4), *backfilled((0, 6), (20, 22))]
    assert world.maintain() == Maintained(folded=3, rows=5)
    world.clock.advance(GRACE_S)
    assert world.maintain().deleted == 5
    assert world.places() == [*upto(4), *backfilled((0, 6), (20, 22))]


def test_a_chunk_that_a_slow_actor_publishes_again_is_read_by_nobody_and_deleted_again(world):
    world.maintain()
    world.clock.advance(GRACE_S)
    world.maintain()
    assert world.backfill(0, 3)
    assert world.places() == backfilled((0, 5))
    assert world.maintain() == Maintained(deleted=1)
    assert (world.chunks(), world.places()) == ([], backfilled((0, 5)))


def test_history_that_is_kept_for_some_days_loses_backfilled_rows_too(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    world.step_us = 86_400_000_000
    world.backfill(0, 9)
    memory_clock.advance(BEGIN_US / 1e6 + 9 * 86_400 + 60 - memory_clock())
    assert world.maintain(keep_days=4) == Maintained(folded=1, rows=9, expired=5)
    assert world.places() == backfilled((5, 9))


def test_batches_follow_the_order_of_writing_and_the_one_that_is_not_full_waits_while_its_job_goes_on(
    tmp_path, memory_clock
):
    world = World(tmp_path, memory_clock)
    folder = world.home / "@backfill/past"
    for number in range(5):
        world.backfill(number, number + 1)
        os.utime(folder / f"{number:032x}.parquet", (1e9 - number, 1e9 - number))
    size = max(path.stat().st_size for path in folder.glob("*.parquet"))
    for waited, batches, waiting in ((59, 2, 1), (60, 3, 0)):
        jobs = world.jobs(quiet_s=60, batch_bytes=2 * size, clock=lambda waited=waited: 1e9 + waited)
        ((job,), faults) = jobs.look()
        assert (positions(job.parts), job.waiting, faults) == ([*range(1, batches + 2)], waiting, [])
    assert [[*batch.chunks] for batch in read_batches(folder, [1, 2, 3])] == [
        [f"{number:032x}" for number in some] for some in ((4, 3), (2, 1), (0,))
    ]
    assert [rows["hidden"].to_pylist() for rows in jobs.read(job, [3])] == [[[0.0, 0.0]]]


def test_chunks_that_wait_for_their_job_are_told_of(world, memory_clock):
    jobs = world.jobs(quiet_s=60, clock=lambda: 0.0)
    done = maintain(world.chains(), world.table(), MaintainLimits(grace_seconds=GRACE_S), clock=memory_clock, jobs=jobs)
    assert done == Maintained(waiting=2)
    assert str(done).endswith("0 parts deleted; 2 chunks of backfills that may go on will be folded later")


def test_of_two_maintainers_that_put_chunks_together_differently_both_fold_what_was_noted_first(world, monkeypatch):
    publish = offline_jobs.add_batch

    def late(folder, batch):
        with monkeypatch.context() as patch:
            patch.setattr(offline_jobs, "add_batch", publish)
            world.jobs(batch_bytes=1).look()  # a batch for each chunk
        publish(folder, batch)

    monkeypatch.setattr(offline_jobs, "add_batch", late)
    assert world.maintain().faults == ()
    monkeypatch.setattr(offline_jobs, "add_batch", publish)
    assert world.maintain().faults == ()
    assert (in_table(world), last_batch(world.home / "@backfill/past")) == (backfilled((0, 5)), 2)


def test_a_chunk_that_is_lost_before_the_table_has_it_is_told_and_folded_when_its_job_has_made_it_again(world):
    world.jobs().look()  # which notes the batch
    (world.home / "@backfill/past" / f"{3:032x}.parquet").unlink()
    for _ in range(2):
        (fault,) = world.maintain().faults
        assert "is gone, before the table of history had it" in fault
        assert "undertow backfill HISTORY --job past" in fault
        assert world.places() == backfilled((0, 3))
    world.backfill(3, 5)
    assert world.maintain() == Maintained(folded=2, rows=5)
    assert world.places() == backfilled((0, 5))


def test_a_damaged_chunk_holds_up_its_own_job_alone(world):
    (world.home / "@backfill/past" / f"{0:032x}.parquet").write_bytes(b"PAR1")
    world.backfill(20, 22, job="other")
    for _ in range(2):
        world.publish(P0, 2)
    done = world.maintain()
    assert (done.folded, done.rows, len(done.faults)) == (2, 4, 1)
    assert f"{0:032x}.parquet is damaged" in done.faults[0]
    assert in_table(world) == [*upto(2), *backfilled((20, 22))]


def test_a_reader_that_stood_still_till_chunks_were_deleted_begins_again(world):
    calls = []

    def list_parts(home):
        files = whole_parts(home)
        if not calls:
            world.maintain()
            world.clock.advance(GRACE_S)
            world.maintain()
        calls.append(files)
        return files

    def read(files):
        with local_copies(files) as copies:
            return places_in(copies)

    assert with_parts(world.home, read, parts=list_parts) == backfilled((0, 5))
    assert len(calls) == 2


def test_a_table_of_an_older_copy_than_its_jobs_and_a_lost_note_are_refused_rather_than_read_with_rows_missing(
    tmp_path, memory_clock
):
    world = World(tmp_path / "log", memory_clock)
    world.backfill(0, 3)
    world.maintain()
    for folder in (world.home / "@table", world.root / "@delta"):
        folder.rename(tmp_path / folder.name)
    with pytest.raises(
        Refused, match=r"lacks what was folded into it: expected .*@backfill/past up to 2, found it up to 0"
    ):
        world.places()
    (fault,) = world.maintain().faults
    assert "to have @backfill/past up to 2" in fault
    assert len(world.chunks()) == 1
    for folder in (world.home / "@table", world.root / "@delta"):
        shutil.rmtree(folder)
        (tmp_path / folder.name).rename(folder)
    (note,) = (world.home / "@backfill/past/_batches").glob("*.json")
    note.unlink()
    with pytest.raises(Refused, match=r"is gone, though the table of history has its chunks"):
        world.places()
    with pytest.raises(Refused, match=r"is gone, though the table of history has its chunks"):
        folded_chunks(world.home / "@backfill/past")


def test_a_job_that_was_moved_aside_while_it_is_folded_loses_nothing(tmp_path, memory_clock):
    world = World(tmp_path / "log", memory_clock)
    world.backfill(0, 5)
    ((job,), _) = world.jobs().look()
    (world.home / "@backfill/past").rename(tmp_path / "aside")
    world.backfill(7, 9)
    for act in (
        lambda: world.jobs().note(job, FoldedUpTo(position=2, parts=1, at_s=1.0)),
        lambda: world.jobs().delete(job, FoldedUpTo(position=2, parts=1, at_s=1.0)),
    ):
        with pytest.raises(Unavailable, match="was moved while it was folded"):
            act()
    assert world.places() == backfilled((7, 9))


def copy_of(world, aside):
    return shutil.copytree(world.home / "@backfill", aside)


def test_a_job_of_an_older_copy_than_the_table_gets_no_new_batch_in_the_place_of_one_that_the_table_has(
    tmp_path, memory_clock
):
    world = World(tmp_path / "log", memory_clock)
    folder = world.home / "@backfill"
    world.backfill(0, 3)
    world.maintain()
    older = copy_of(world, tmp_path / "older")
    world.backfill(3, 6)
    world.maintain()
    newest = copy_of(world, tmp_path / "newest")
    shutil.rmtree(folder)
    shutil.copytree(older, folder)
    world.backfill(6, 9)  # by a backfill that had begun before
    for _ in range(2):
        (fault,) = world.maintain().faults
        assert "has the job in" in fault
        assert "@backfill/past up to batch 2, and its notes end at 1: it was deleted, or restored from another" in fault
        world.clock.advance(GRACE_S)
    assert any("its notes end at 1" in fault for fault in verify(world.root).faults)
    with pytest.raises(
        Refused, match=r"its notes end at 1.*or move it out of the log and backfill under another --job"
    ):
        job_ends(world.home)(folder / "past")
    chunk = next((folder / "past").glob(f"{6:032x}.parquet"))
    shutil.move(chunk, tmp_path / "chunk")
    shutil.rmtree(folder)
    shutil.copytree(newest, folder)
    (tmp_path / "chunk").rename(chunk)
    assert world.maintain().faults == ()
    assert in_table(world) == backfilled((0, 9))


def test_a_job_of_a_copy_from_before_its_first_fold_is_not_folded_twice(tmp_path, memory_clock):
    world = World(tmp_path / "log", memory_clock)
    world.backfill(0, 3)
    before = copy_of(world, tmp_path / "before")
    world.maintain()
    shutil.rmtree(world.home / "@backfill")
    shutil.copytree(before, world.home / "@backfill")
    (fault,) = world.maintain().faults
    assert "up to batch 1, and its notes end at 0" in fault
    assert in_table(world) == backfilled((0, 3))
    shutil.move(world.home / "@backfill/past", tmp_path / "aside")
    assert world.maintain().faults == ()
    assert world.places() == backfilled((0, 3))


def test_a_job_that_was_copied_under_another_name_is_told_and_nothing_of_it_is_deleted(tmp_path, memory_clock):
    world = World(tmp_path / "log", memory_clock)
    world.backfill(0, 3)
    world.maintain()
    shutil.copytree(world.home / "@backfill/past", world.home / "@backfill/copy")
    world.backfill(3, 6, job="copy")
    for _ in range(2):
        (fault,) = world.maintain().faults
        assert "to have @backfill/copy up to 2, as its chain notes; it has nothing of it" in fault
        world.clock.advance(GRACE_S)
    assert len(world.chunks("copy")) == 2


def test_a_chunk_of_a_noted_batch_that_is_gone_before_it_was_folded_is_found_by_verify(world):
    world.jobs().look()
    assert verify(world.root).faults == ()
    (world.home / "@backfill/past" / f"{3:032x}.parquet").unlink()
    (fault,) = verify(world.root).faults
    assert f"{3:032x}.parquet is gone, before the table of history had it" in fault
    assert "undertow backfill HISTORY --job past" in fault
