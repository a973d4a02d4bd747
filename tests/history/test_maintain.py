"""The log folded into a table: every row once for whoever reads, wherever a maintainer stops, and for new owners."""

import pyarrow.parquet as pq
import pytest

from tests.history.fold_world import BEGIN_US, GRACE_S, P0, P1, World, upto
from undertow.adapters import offline_fold, offline_footers, offline_table
from undertow.adapters.offline_chains import BEGUN, require_whole
from undertow.adapters.offline_history import listed_parts, table_files
from undertow.adapters.offline_log import latest_in
from undertow.adapters.offline_parts import read_footer
from undertow.core.errors import Refused, Unavailable
from undertow.history.maintain import Maintained
from undertow.stream.record_marks import ChainEnd


@pytest.fixture
def world(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
        world.publish(P1, 3)
    return world


def test_all_parts_but_the_last_of_each_chain_are_folded_and_deleted_after_the_grace_time(world):
    assert world.maintain() == Maintained(folded=6, rows=15)
    assert (len(world.parts(P0)), len(world.parts(P1)), world.places()) == (4, 4, upto(8, 12))
    assert world.maintain() == Maintained()
    world.clock.advance(GRACE_S)
    assert world.maintain() == Maintained(deleted=6)
    assert (world.parts(P0), world.parts(P1)) == ([f"{6:020d}.parquet"], [f"{9:020d}.parquet"])
    assert world.places() == upto(8, 12)
    assert world.maintain() == Maintained()


def test_a_new_owner_goes_on_where_a_chain_ends_of_which_no_part_before_the_last_is_left(world):
    world.maintain()
    world.clock.advance(GRACE_S)
    world.maintain()
    owner = world.owner()
    assert (owner.end(P0), owner.end(P1)) == (8, 12)
    world.log = owner
    world.publish(P0, 5)
    assert read_footer(world.home / "windows/0" / f"{8:020d}.parquet").number == 4
    assert latest_in(world.home) == BEGIN_US + 12
    assert world.places() == upto(13, 12)
    assert world.maintain() == Maintained(folded=1, rows=2)
    assert world.places() == upto(13, 12)


def test_a_part_that_is_missing_after_what_was_folded_is_still_told(world):
    world.maintain()
    world.clock.advance(GRACE_S)
    world.maintain()
    for _ in range(3):
        world.publish(P0, 2)
    (world.home / "windows/0" / f"{10:020d}.parquet").unlink()
    with pytest.raises(Refused, match="windows/0 lacks offsets 10 to 11"):
        world.places()
    (fault,) = world.maintain().faults
    assert "windows/0 lacks offsets 10 to 11" in fault
    with pytest.raises(Unavailable, match="lacks offsets 10 to 11"):
        world.owner().end(P0)
    assert listed_parts(world.home)


def test_a_chain_that_lost_its_last_part_too_waits_for_it(world):
    world.maintain()
    (world.home / "windows/0" / f"{6:020d}.parquet").unlink()
    for act in (world.places, lambda: require_whole(world.home), lambda: world.owner().end(P0)):
        with pytest.raises(Unavailable, match="lacks its last part"):
            act()


def test_a_log_of_the_version_before_is_folded_as_it_is(world):
    for path in (world.home / "windows").rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        kept = {key: value for key, value in table.schema.metadata.items() if key != b"undertow.number"}
        pq.write_table(table.replace_schema_metadata(kept), path)
    for note in (world.home / BEGUN).rglob("*.begun"):
        note.unlink()
    assert world.maintain().folded == 6
    world.clock.advance(GRACE_S)
    assert world.maintain().deleted == 6
    world.log = world.owner()
    world.publish(P0, 2)
    assert read_footer(world.home / "windows/0" / f"{8:020d}.parquet").number == 4
    assert world.places() == upto(10, 12)


def test_a_chain_that_was_turned_back_keeps_both_rows_of_an_offset_in_the_table_as_in_its_parts(world):
    world.log.end(P0)
    world.log.turn_back(P0, ChainEnd(next=5, mark=None))
    world.publish(P0, 4)
    world.publish(P0, 1)
    before = world.places()
    assert before.count((0, 6)) == 2
    world.maintain()
    world.clock.advance(GRACE_S)
    world.maintain()
    assert (len(world.parts(P0)), world.places()) == (1, before)
    assert world.owner().end(P0) == 10


class Crash(Exception):  # noqa: N818
    """The process was killed."""


CRASHES = [
    (offline_footers, "after_fold_footers", 1),
    (offline_footers, "after_fold_footers", 2),
    (offline_table, "after_fold_files", 1),
    (offline_table, "after_fold_commit", 1),
    (offline_table, "after_fold_commit", 2),
    (offline_fold, "after_fold_note", 1),
    (offline_fold, "after_fold_note", 2),
    (offline_fold, "after_fold_delete", 1),
    (offline_fold, "after_fold_delete", 2),
    (offline_table, "after_fold_compaction", 1),
    (offline_table, "after_fold_expiry", 1),
]


@pytest.mark.parametrize(("module", "point", "count"), CRASHES)
def test_wherever_a_maintainer_is_killed_every_row_is_read_once_and_the_next_one_ends_its_work(
    world, monkeypatch, module, point, count
):
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    left = count

    def crash(at):
        nonlocal left
        left -= at == point
        if at == point and left == 0:
            raise Crash

    for _ in range(2):  # so that there is something to delete, to merge and to let expire
        world.maintain()
        world.publish(P0, 2)
        world.publish(P1, 3)
        world.clock.advance(GRACE_S)
    days = {"keep_days": 1} if point == "after_fold_expiry" else {}
    world.clock.advance((BEGIN_US / 1e6 + 3 * 86_400 - world.clock()) if days else 0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "hit_failpoint", crash)
        with pytest.raises(Crash):
            world.maintain(batch_bytes=1, **days)
    expected = upto(12, 18)
    if not days:
        assert world.places() == expected
    assert (world.owner().end(P0), world.owner().end(P1)) == (12, 18)
    world.clock.advance(GRACE_S)
    world.maintain(**days)
    world.clock.advance(GRACE_S)
    world.maintain(**days)
    assert (len(world.parts(P0)), len(world.parts(P1))) == (1, 1)
    if days:
        expected = [(0, 10), (0, 11), (1, 15), (1, 16), (1, 17)]
    assert world.places() == expected


def test_a_maintainer_that_stood_still_while_another_did_its_work_is_refused_and_leaves_nothing(world):
    class Slow:
        """A table at which another maintainer is first."""

        def __init__(self) -> None:
            self.version = world.table().snapshot()
            self.folded = self.version.folded

        def append(self, rows, moves):
            world.maintain()
            return self.version.append(rows, moves)

    class Table:
        snapshot, tidy = staticmethod(Slow), None

    before = world.maintain(table=Table())
    assert before == Maintained(is_beaten=True)
    assert "another maintainer was faster" in str(before)
    assert world.places() == upto(8, 12)
    assert sorted((world.home / "@table").rglob("*.parquet")) == sorted(table_files(world.home))


def test_history_older_than_it_is_kept_leaves_the_table_by_whole_days(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    world.step_us = 86_400_000_000
    for _ in range(5):
        world.publish(P0, 2)
    memory_clock.advance(BEGIN_US / 1e6 + 9 * 86_400 + 60 - memory_clock())
    assert world.maintain(keep_days=4).expired == 5
    assert world.places() == [(0, offset) for offset in range(5, 10)]


def test_a_maintainer_that_finds_its_work_done_between_two_transactions_adds_nothing_twice(world, monkeypatch):
    others = []

    def hit(at):
        if at == "after_fold_commit" and not others:
            others.append(None)
            world.maintain()

    monkeypatch.setattr(offline_table, "hit_failpoint", hit)
    assert world.maintain(batch_bytes=1).is_beaten
    assert world.places() == upto(8, 12)


def test_a_maintainer_killed_while_it_made_the_table_stops_neither_readers_nor_the_next_one(world, monkeypatch):
    class Killed:
        create = None

    with monkeypatch.context() as patch:
        patch.setattr(offline_table, "DeltaTable", Killed)
        with pytest.raises(TypeError):
            world.maintain()
    assert (world.home / "@table/_delta_log").is_symlink()
    assert world.places() == upto(8, 12)
    assert world.maintain().folded == 6
    assert world.places() == upto(8, 12)


def test_where_a_logs_disk_is_away_nothing_is_made_in_its_place(world, tmp_path):
    aside = tmp_path.parent / f"{tmp_path.name}-aside"
    for begin in (lambda: None, world.maintain):  # before there is a table, and after
        begin()
        tmp_path.rename(aside)
        with pytest.raises(Unavailable, match="mount its disk again"):
            world.maintain()
        assert not tmp_path.exists()
        aside.rename(tmp_path)
    assert world.places() == upto(8, 12)
