import pytest

from undertow.adapters.memory_source import Crash
from undertow.core.errors import Replaced, Unavailable
from undertow.schemas.records import Partition
from undertow.stream.histogram import EDGES_S

ZERO, ONE = Partition("windows", 0), Partition("windows", 1)


def test_windows_are_online_at_once_and_offline_and_committed_at_the_checkpoint(world):
    for end in (1, 2, 3):
        world.produce("a", end)
    stream = world.stream()
    stream.assign([ZERO])
    assert stream.step()
    assert world.chains.parts == {}
    stream.checkpoint()
    assert world.online["a",].event_us == 3
    assert world.offline_offsets() == [0, 1, 2]
    assert world.broker.committed == {ZERO: 3}
    assert stream.counts.windows == 3


def test_a_checkpoint_comes_by_time_and_by_rows(world):
    stream = world.stream(checkpoint_rows=2)
    stream.assign([ZERO])
    world.produce("a", 1)
    stream.step()
    assert world.offline_offsets() == []
    world.now += 11
    stream.step()
    stream._finish_checkpoint(wait=True)
    assert world.offline_offsets() == [0]
    world.produce("a", 2)
    world.produce("a", 3)
    stream.step()
    stream._finish_checkpoint(wait=True)
    assert world.offline_offsets() == [0, 1, 2]


def test_nothing_is_committed_that_was_not_published(world):
    world.produce("a", 1)
    stream = world.stream(publishes=[Crash()])
    stream.assign([ZERO])
    stream.step()
    with pytest.raises(Crash):
        stream.checkpoint()
    assert world.broker.committed == {}


def test_nothing_is_published_while_an_online_write_fails(world):
    world.produce("a", 1)
    stream = world.stream(writes=[Crash()])
    stream.assign([ZERO])
    stream.step()
    with pytest.raises(Crash):
        stream.checkpoint()
    assert world.chains.parts == {}


def test_without_an_offline_log_the_committed_offset_is_the_record(world):
    world.produce("a", 1)
    stream = world.stream(offline=False, commits=[Unavailable("broker away")])
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert world.broker.committed == {ZERO: 1}
    world.produce("a", 2)
    successor = world.stream(offline=False)
    successor.assign([ZERO])
    successor.step()
    successor.checkpoint()
    assert successor.counts.windows == 1
    assert world.online["a",].event_us == 2


def test_with_an_offline_log_a_commit_that_fails_is_left_to_the_next_checkpoint(world):
    world.produce("a", 1)
    stream = world.stream(commits=[Unavailable("broker away")])
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert world.offline_offsets() == [0]
    assert world.broker.committed == {}
    world.produce("a", 2)
    stream.step()
    stream.checkpoint()
    assert world.broker.committed == {ZERO: 2}


def test_a_successor_begins_at_the_chains_end_not_at_the_committed_offset(world):
    world.produce("a", 1)
    stream = world.stream(commits=[Crash()])
    stream.assign([ZERO])
    stream.step()
    with pytest.raises(Crash):
        stream.checkpoint()
    world.produce("a", 2)
    successor = world.stream()
    successor.assign([ZERO])
    successor.step()
    successor.checkpoint()
    assert world.offline_offsets() == [0, 1]


def test_a_zombie_learns_from_the_chain_that_it_was_replaced(world):
    world.produce("a", 1)
    zombie, successor = world.stream(), world.stream()
    zombie.assign([ZERO])
    successor.assign([ZERO])
    zombie.step()
    successor.step()
    successor.checkpoint()
    with pytest.raises(Replaced):
        zombie.checkpoint()
    assert world.offline_offsets() == [0]


def test_what_is_given_away_is_durable_first_and_what_is_kept_goes_on(world):
    stream = world.stream()
    stream.assign([ZERO, ONE])
    world.produce("a", 1, partition=0)
    world.produce("b", 1, partition=1)
    stream.step()
    stream.assign([ONE])
    assert world.broker.committed == {ZERO: 1, ONE: 1}
    world.produce("b", 2, partition=1)
    stream.step()
    stream.checkpoint()
    assert world.offline_offsets(1) == [0, 1]
    assert stream.held == {ONE}


def test_a_store_that_is_down_is_tried_again_and_nothing_is_taken_meanwhile(world):
    world.produce("a", 1)
    stream = world.stream(writes=[Unavailable("redis away")] * 7)
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert world.waited == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert stream.counts.retries == 7
    assert stream.retrying.blocked is None
    assert world.offline_offsets() == [0]


def test_rejects_are_put_away_with_their_reason_and_their_neighbours_are_embedded(world):
    world.produce("a", 1)
    world.broker.append(ZERO, b"{")
    world.produce("a", 3, flows=[1313.0, 1.0])
    world.produce("a", 4)
    stream = world.stream()
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert [(r.reason, r.record.offset) for r in world.dead_letters.rejects] == [("not-json", 1), ("not-finite", 2)]
    assert world.offline_offsets() == [0, 3]
    assert world.broker.committed == {ZERO: 4}


def test_rejects_alone_move_the_chain(world):
    world.broker.append(ZERO, b"{")
    stream = world.stream()
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert world.chains.parts[ZERO][0].next == 1
    assert world.broker.committed == {ZERO: 1}


def test_what_retention_deleted_is_counted_and_written_into_the_chain(world):
    world.produce("a", 1)
    stream = world.stream()
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    for end in range(2, 8):
        world.produce("a", end)
    world.broker.retain(ZERO, 5)
    successor = world.stream()
    successor.assign([ZERO])
    successor.step()
    successor.checkpoint()
    part = world.chains.parts[ZERO][1]
    assert (part.first, part.next, part.lost, part.offsets.tolist()) == (1, 7, 4, [5, 6])
    assert successor.counts.lost == 4


def test_retention_that_overtakes_a_reader_in_mid_stream_is_counted_once(world):
    stream = world.stream(max_batch=1)
    stream.assign([ZERO])
    for end in range(1, 8):
        world.produce("a", end)
    stream.step()
    world.broker.retain(ZERO, 3)
    while stream.step():
        pass
    stream.checkpoint()
    stream.checkpoint()
    assert stream.counts.lost == 2
    assert sum(part.lost for part in world.chains.parts[ZERO].values()) == 2


def test_the_newest_event_time_wins_whatever_the_order(world):
    for end in (5, 9, 2):
        world.produce("a", end)
    stream = world.stream()
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert world.online["a",].event_us == 9


def test_latency_is_from_append_to_the_return_of_the_online_write(world):
    world.now = 10.0
    world.produce("a", 7_000_000)
    stream = world.stream()
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    (bucket,) = stream.counts.latency.nonzero()[0]
    assert EDGES_S[bucket - 1] < 3.0 <= EDGES_S[bucket]


def test_giving_up_on_a_silent_store_leaves_everything_for_the_next_run(world):
    world.produce("a", 1)
    stream = world.stream(writes=[Unavailable("redis away")] * 100, give_up=lambda: len(world.waited) >= 3)
    stream.assign([ZERO])
    stream.step()
    with pytest.raises(Unavailable):
        stream.checkpoint()
    assert world.chains.parts == {}
    assert world.broker.committed == {}
