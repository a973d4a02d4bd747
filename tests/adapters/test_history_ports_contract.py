"""What every table of history and all chains promise to their maintainer: in memory, and in folders with Delta Lake."""

import datetime as dt
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from tests.history.fold_world import BEGIN_US, P0, P1, VIEW, World, places_in
from tests.history.fold_world import batch as rows_of
from undertow.adapters import offline_table
from undertow.adapters.memory_history import MemoryFoldChains, MemoryTable
from undertow.adapters.offline_history import delta_folder, table_files
from undertow.adapters.offline_names import TABLE
from undertow.adapters.offline_parts import encode_part, part_schema
from undertow.adapters.offline_table import DeltaHistory, compact, expire
from undertow.adapters.offline_table_version import read_version
from undertow.core.errors import Unavailable
from undertow.storage.local_copies import local_copies
from undertow.stream.history_ports import FoldedUpTo, Move, positions

DAY_S = 86_400
FIRST_DAY = dt.datetime.fromtimestamp(BEGIN_US / 1e6, dt.UTC).date()


def rows(first, after, *, step_us=1_000_000):
    offsets, embeddings = rows_of(first, after, step_us=step_us)
    content = encode_part(embeddings, VIEW, metadata={}, origin=(0, offsets))
    return pq.read_table(pa.BufferReader(content)).replace_schema_metadata()


def to(**moves):
    """Moves of chains to a position, from the beginning or from a given one."""
    pairs = {chain: move if isinstance(move, tuple) else (0, move) for chain, move in moves.items()}
    return {chain: Move(begin=begin, upto=upto) for chain, (begin, upto) in pairs.items()}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A day with as many files as the tests have is merged."""
    monkeypatch.setattr(offline_table, "LEAST_FILES", 6)


class InMemory:
    def __init__(self, _folder, _clock) -> None:
        self.table, self.chains = MemoryTable(), MemoryFoldChains()

    def offsets(self):
        return sorted(row["origin_offset"] for row in self.table.rows())

    def publish(self, partition, first, after):
        self.chains.append(f"windows/{partition.index}", first, rows(first, after))


class InFolders:
    def __init__(self, folder, clock) -> None:
        self.world = World(folder, clock)
        self.table, self.chains = self.world.table(), self.world.chains()

    def offsets(self):
        with local_copies(table_files(self.world.home)) as files:
            return [offset for _, offset in places_in(files)]

    def publish(self, partition, first, after):
        assert (self.world.log.end(partition) or 0) == first
        self.world.publish(partition, after - first)


@pytest.fixture(params=[InMemory, InFolders, pytest.param("store", marks=pytest.mark.s3)])
def kept(request, tmp_path, memory_clock):
    if request.param == "store":
        return InFolders(request.getfixturevalue("store_root"), memory_clock)
    return request.param(tmp_path, memory_clock)


def test_a_table_begins_empty_and_has_the_rows_and_the_position_of_a_chain_after_one_append(kept):
    snapshot = kept.table.snapshot()
    assert (snapshot.folded("a"), kept.offsets()) == (0, [])
    assert snapshot.append(rows(0, 4), to(a=4, b=9))
    assert (snapshot.folded("a"), snapshot.folded("b"), snapshot.folded("c")) == (4, 9, 0)
    assert snapshot.append(rows(4, 6), to(a=(4, 6)))
    assert (kept.table.snapshot().folded("a"), kept.table.snapshot().folded("b"), kept.offsets()) == (6, 9, [*range(6)])


def test_of_two_who_append_a_chain_from_one_version_the_second_is_refused_with_all_that_it_brought(kept):
    first, second = kept.table.snapshot(), kept.table.snapshot()
    assert first.append(rows(0, 4), to(a=4))
    assert not second.append(rows(0, 8), to(b=4, a=4))
    assert (kept.offsets(), kept.table.snapshot().folded("b")) == ([0, 1, 2, 3], 0)
    assert not second.append(rows(0, 8), to(a=4))


def test_who_holds_the_newest_version_and_would_add_again_what_it_has_is_refused(kept):
    assert kept.table.snapshot().append(rows(0, 4), to(a=4))
    newest = kept.table.snapshot()
    assert not newest.append(rows(0, 4), to(a=4))
    assert not newest.append(rows(2, 6), to(a=(2, 6)))
    assert newest.append(rows(4, 6), to(a=(4, 6)))
    assert kept.offsets() == [*range(6)]


def test_who_appends_other_chains_at_once_is_not_refused(kept):
    first, second = kept.table.snapshot(), kept.table.snapshot()
    assert first.append(rows(0, 4), to(a=4))
    assert second.append(rows(4, 6), to(b=2))
    assert kept.offsets() == [*range(6)]
    assert (kept.table.snapshot().folded("a"), kept.table.snapshot().folded("b")) == (4, 2)


@pytest.mark.parametrize("root", ["disk", pytest.param("store", marks=pytest.mark.s3)])
def test_a_version_whose_log_went_away_meanwhile_cannot_be_read_now_and_can_when_it_is_back(
    root, request, tmp_path, memory_clock
):
    place = request.getfixturevalue("store_root") if root == "store" else tmp_path
    kept = InFolders(place, memory_clock)
    snapshot = kept.table.snapshot()
    assert snapshot.append(rows(0, 4), to(a=4))
    version = read_version(kept.world.home / TABLE)
    commits = {path: path.read_bytes() for path in delta_folder(kept.world.home).glob("*.json")}
    for path in commits:
        path.unlink()
    for read in (snapshot.folded, version.folded):
        with pytest.raises(Unavailable, match=r"@table could not be read or written \(.*tried again$"):
            read("a")
    with pytest.raises(Unavailable, match="@table could not be read or written"):
        snapshot.append(rows(4, 6), to(a=(4, 6)))
    for path, content in commits.items():
        path.write_bytes(content)
    assert (snapshot.folded("a"), version.folded("a")) == (4, 4)
    assert snapshot.append(rows(4, 6), to(a=(4, 6)))


def test_parts_without_rows_move_a_chain_too(kept):
    assert kept.table.snapshot().append(rows(0, 0), to(a=7))
    assert (kept.table.snapshot().folded("a"), kept.offsets()) == (7, [])


def test_tidying_keeps_every_row_and_position_but_those_of_days_that_are_too_old(kept):
    snapshot = kept.table.snapshot()
    for first in range(0, 12, 2):
        assert snapshot.append(rows(first, first + 2, step_us=43_200_000_000), to(a=(first, first + 2)))  # two a day
    kept.table.tidy(keep_since=None, readers_s=DAY_S)
    assert kept.offsets() == [*range(12)]
    done = kept.table.tidy(keep_since=FIRST_DAY + dt.timedelta(days=3), readers_s=DAY_S)
    assert (done.expired, kept.offsets(), kept.table.snapshot().folded("a")) == (3, [*range(6, 12)], 12)
    assert kept.table.tidy(keep_since=FIRST_DAY, readers_s=DAY_S).expired == 0


def test_who_appends_beside_a_tidying_is_not_refused_and_loses_nothing(kept):
    snapshot = kept.table.snapshot()
    for first in range(0, 12, 2):
        assert snapshot.append(rows(first, first + 2), to(a=(first, first + 2)))
    beside = kept.table.snapshot()
    kept.table.tidy(keep_since=None, readers_s=DAY_S)
    assert beside.append(rows(12, 16), to(a=(12, 16)))
    assert kept.offsets() == [*range(16)]


def test_chains_are_listed_with_their_parts_and_notes_and_lose_what_is_before_a_note(kept):
    assert kept.chains.look() == ([], [])
    for first in (0, 3, 5):
        kept.publish(P0, first, first + (3 if first == 0 else 2))
    kept.publish(P1, 0, 1)
    (chain, other), faults = kept.chains.look()
    assert (chain.name, other.name, faults) == ("windows/0", "windows/1", [])
    assert chain.id != other.id
    assert (positions(chain.parts), positions(other.parts), chain.notes) == ([0, 3, 5], [0], ())
    assert all(one.size > 0 for one in chain.parts)
    assert [rows["origin_offset"].to_pylist() for rows in kept.chains.read(chain, [3])] == [[3, 4]]
    early, late = (FoldedUpTo(position=p, parts=n, at_s=at) for p, n, at in ((3, 1, 1.0), (5, 2, 2.0)))
    kept.chains.note(chain, early)
    kept.chains.note(chain, FoldedUpTo(position=3, parts=1, at_s=9.0))  # another maintainer, later: the first counts
    kept.chains.note(chain, late)
    (again, _), _ = kept.chains.look()
    assert (again.id, again.notes, again.noted, positions(again.parts)) == (chain.id, (early, late), late, [0, 3, 5])
    assert kept.chains.delete(again, early) == 1
    assert kept.chains.delete(again, late) == 1
    assert kept.chains.delete(again, late) == 0
    (left, _), faults = kept.chains.look()
    assert (positions(left.parts), left.notes, faults) == ([5], (late,), [])


def test_delta_lake_merges_many_small_files_and_deletes_them_when_no_reader_needs_them(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    table, snapshot = world.table(), world.table().snapshot()
    for first in range(0, 12, 2):
        snapshot.append(rows(first, first + 2), to(a=(first, first + 2)))
    pinned = table_files(world.home)
    assert (table.tidy(keep_since=None, readers_s=DAY_S).compacted, len(table_files(world.home))) == (6, 1)
    assert [offset for _, offset in places_in(pinned)] == [*range(12)]
    assert table.tidy(keep_since=None, readers_s=DAY_S) == type(table.tidy(keep_since=None, readers_s=DAY_S))()
    assert table.tidy(keep_since=None, readers_s=0).vacuumed == 6
    assert not any(path.exists() for path in pinned)
    assert [offset for _, offset in places_in(table_files(world.home))] == [*range(12)]
    assert DeltaHistory(world.home, VIEW).snapshot().folded("a") == 12


@pytest.mark.parametrize("root", ["disk", pytest.param("store", marks=pytest.mark.s3)])
def test_files_that_were_deleted_are_not_deleted_again_nor_is_that_committed(root, request, tmp_path, memory_clock):
    kept = InFolders(request.getfixturevalue("store_root") if root == "store" else tmp_path, memory_clock)
    snapshot = kept.table.snapshot()
    for first in range(0, 12, 2):
        snapshot.append(rows(first, first + 2), to(a=(first, first + 2)))
    assert kept.table.tidy(keep_since=None, readers_s=0).vacuumed == 6
    commits = len([*delta_folder(kept.world.home).glob("*.json")])
    assert kept.table.tidy(keep_since=None, readers_s=0).vacuumed == 0
    assert len([*delta_folder(kept.world.home).glob("*.json")]) == commits
    assert kept.offsets() == [*range(12)]


def test_the_time_for_readers_of_a_replaced_file_counts_from_when_the_clock_says_that_it_was(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    snapshot = world.table().snapshot()
    for begin in range(0, 12, 2):
        snapshot.append(rows(begin, begin + 2), to(a=(begin, begin + 2)))
    replaced = table_files(world.home)
    yesterday = DeltaHistory(world.home, VIEW, clock=lambda: time.time() - DAY_S - 1)
    assert yesterday.tidy(keep_since=None, readers_s=2 * DAY_S).compacted == 6
    assert all(path.exists() for path in replaced)
    assert world.table().tidy(keep_since=None, readers_s=DAY_S).vacuumed == 6
    assert not any(path.exists() for path in replaced)


@pytest.mark.parametrize("first", ["compact", "expire"])
@pytest.mark.parametrize("second", ["compact", "expire"])
def test_of_two_who_rewrite_files_from_one_version_the_second_is_refused(tmp_path, memory_clock, first, second):
    world = World(tmp_path, memory_clock)
    snapshot = world.table().snapshot()
    for begin in range(0, 8, 2):
        snapshot.append(rows(begin, begin + 2), to(a=(begin, begin + 2)))
    tables = [DeltaTable(world.home / "@table") for _ in range(2)]
    acts = {
        "compact": lambda table: compact(table, world.home, VIEW, FIRST_DAY.isoformat()),
        "expire": lambda table: expire(table, FIRST_DAY + dt.timedelta(days=1)),
    }
    assert acts[first](tables[0]) == 4
    with pytest.raises(CommitFailedError, match="oncurrent transaction"):
        acts[second](tables[1])
    left = [] if first == "expire" else [*range(8)]
    assert [offset for _, offset in places_in(table_files(world.home))] == left


def test_what_nobody_has_committed_yet_is_not_vacuumed(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    world.table().snapshot().append(rows(0, 2), to(a=2))
    (known,) = table_files(world.home)
    fresh = known.with_name("fresh.parquet")
    fresh.write_bytes(known.read_bytes())
    world.table().tidy(keep_since=None, readers_s=DAY_S)
    assert fresh.exists()
    world.table().tidy(keep_since=None, readers_s=0)
    assert (fresh.exists(), known.exists()) == (False, True)


def test_files_of_the_table_have_the_columns_of_parts(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    snapshot = world.table().snapshot()
    for first in range(0, 12, 2):
        snapshot.append(rows(first, first + 2), to(a=(first, first + 2)))
    world.table().tidy(keep_since=None, readers_s=DAY_S)
    snapshot = world.table().snapshot()
    snapshot.append(rows(12, 14), to(a=(12, 14)))
    assert [pq.read_schema(path).names for path in table_files(world.home)] == [part_schema(VIEW).names] * 2
