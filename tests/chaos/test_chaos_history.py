"""The checker's own reader of history finds table and tail once each, and what is planted in either."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from tests.chaos.check import Offline, Truth, Verdict, check
from tests.chaos.history import StaleError, Told, look_back, open_snapshot, read_rows, read_told
from tests.chaos.places import Part, Place
from tests.history.fold_world import BEGIN_US, GRACE_S, P0, P1, World, upto

ENDS = (12, 15)


@pytest.fixture
def world(tmp_path, memory_clock):
    """A log of two chains: some parts in the table alone, some in it and on disk, some behind it."""
    world = World(tmp_path, memory_clock)
    for _ in range(3):
        world.publish(P0, 2)
        world.publish(P1, 3)
    world.maintain()
    memory_clock.advance(GRACE_S)
    world.publish(P0, 4)
    world.publish(P1, 3)
    world.maintain()
    world.publish(P0, 2)
    world.publish(P1, 3)
    return world


def verdict_of(world):
    """Check a log against what `tests.history.fold_world` writes into its parts; online and letters agree."""
    offsets = np.array([offset for _, offset in upto(*ENDS)])
    truth = Truth(
        windows={Place(partition, offset): number for number, (partition, offset) in enumerate(upto(*ENDS))},
        poison=frozenset(),
        deleted=defaultdict(list),
        vectors=np.stack([offsets, -offsets], 1).astype(np.float32),
        sites=np.array([f"s{offset % 3}" for offset in offsets], object),
        events=offsets,
    )
    rows = read_rows(open_snapshot(world.home))
    offline = Offline(
        sites=np.array(rows["site"].to_pylist(), object),
        events=(rows["event_timestamp"].cast(pa.int64()).to_numpy() - BEGIN_US) // 1_000_000,
        created=rows["created"].cast(pa.int64()).to_numpy(),
        partitions=rows["origin_partition"].to_numpy(),
        offsets=rows["origin_offset"].to_numpy(),
        generations=np.zeros(len(rows), int),
        vectors=np.array(rows["hidden"].to_pylist(), np.float32),
        parts=[
            Part(partition=one.partition, first=one.first, next=one.next, lost=one.lost)
            for one in read_told(world.home)
        ],
    )
    return check(
        truth, sent=range(len(offsets)), offline=offline, online={}, rejects=[], versions=look_back(world.home)
    )


def amiss(world):
    told = {"windows", "versions", "online_lost"}  # nothing is online here
    verdict = verdict_of(world)
    return {name: getattr(verdict, name) for name in Verdict.__slots__ if name not in told and getattr(verdict, name)}


def rewrite(world, added=(), removed=(), moves=()):
    """Commit to the table what no maintainer would."""
    table = DeltaTable(str(world.home / "@table"))
    adds = [AddAction(path, 1, {"day": path[4:14]}, 1, True, "{}") for path in added]
    removes = [RemoveAction(path, True, 1, None, {"day": path[4:14]}) for path in removed]
    properties = CommitProperties(app_transactions=[Transaction(*move) for move in moves])
    table.create_write_transaction([*adds, *removes], "append", table.schema(), ["day"], commit_properties=properties)


def a_file(world):
    return min(str(path.relative_to(world.home / "@table")) for path in (world.home / "@table").rglob("*.parquet"))


def spoiled(world, change):
    """Return a copy of one of the table's files with its rows changed."""
    path = world.home / "@table" / a_file(world)
    copy = path.with_name("copy.parquet")
    pq.write_table(change(pq.read_table(path, partitioning=None)), copy)
    return str(copy.relative_to(world.home / "@table"))


def test_rows_in_the_table_alone_in_both_and_in_parts_alone_are_there_once_and_their_chains_unbroken(world):
    assert len(open_snapshot(world.home).table) == 2
    assert {path.name for path in open_snapshot(world.home).tail} < {*world.parts(P0), *world.parts(P1)}
    assert amiss(world) == {}
    assert verdict_of(world).versions == 3


def test_a_log_that_nobody_folded_is_its_parts(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    world.publish(P0, 12)
    world.publish(P1, 15)
    assert amiss(world) == {}
    assert verdict_of(world).versions == 0


def test_a_row_that_stands_twice_in_the_table_is_seen(world):
    rewrite(world, added=[spoiled(world, lambda rows: rows.slice(0, 1))])
    assert amiss(world) == {"offline_duplicated": 1, "versions_doubled": 1}


def test_a_row_that_stood_twice_in_an_earlier_version_is_seen(world):
    copy = spoiled(world, lambda rows: rows.slice(0, 1))
    rewrite(world, added=[copy])
    rewrite(world, removed=[copy])
    assert amiss(world) == {"versions_doubled": 1}


def test_rows_that_are_lost_between_table_and_tail_are_seen(world):
    first = (world.home / "windows/0/_folded/chain.json").read_text().split('"')[3]
    rewrite(world, moves=[(first, 10)])  # as a maintainer would that moved the position and forgot the rows
    assert amiss(world) == {"offline_lost": 4}


def test_a_row_that_is_lost_from_the_table_is_seen(world):
    rewrite(world, added=[spoiled(world, lambda rows: rows.slice(1))], removed=[a_file(world)])
    assert amiss(world) == {"offline_lost": 1}


def test_a_wrong_vector_in_the_table_is_seen(world):
    def turn(rows):
        field = rows.schema.field("hidden")
        backwards = pa.array(rows["hidden"].to_pylist()[::-1], field.type)
        return rows.set_column(rows.schema.get_field_index("hidden"), field, backwards)

    rewrite(world, added=[spoiled(world, turn)], removed=[a_file(world)])
    wrong = amiss(world)
    assert wrong.keys() == {"offline_wrong"}
    assert wrong["offline_wrong"] > 1


def test_a_chain_whose_parts_were_deleted_after_the_table_was_listed_is_not_read_with_rows_missing(world):
    for name in world.parts(P0)[:-1]:
        (world.home / "windows/0" / name).unlink()
    with pytest.raises(StaleError, match="no part at 6"):
        open_snapshot(world.home)


def test_of_a_part_that_was_folded_and_deleted_what_it_said_is_still_told(world):
    assert f"{3:020d}.parquet" not in world.parts(P1)
    told = read_told(world.home)
    assert len(told) == 10
    assert Told(topic_id="t", partition=1, position=3, first=3, next=6, lost=0) in told


def test_a_file_that_was_vacuumed_is_an_error_for_who_had_listed_it_and_none_for_who_looks_back(world):
    snapshot = open_snapshot(world.home)
    (world.home / "@table" / a_file(world)).unlink()
    with pytest.raises(FileNotFoundError):
        read_rows(snapshot)
    assert look_back(world.home) == (3, 0)
