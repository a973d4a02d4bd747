"""What a stream tells of itself, beside its effects."""

import pytest

from schemas.records import Partition
from workers.core.errors import Unavailable
from workers.core.events import Assigned, Checkpointed, Lost, Recovered, Rejected, Retrying, Taken

ZERO, ONE = Partition("windows", 0), Partition("windows", 1)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_a_delivery_and_its_checkpoint_are_told_with_their_ranges(world):
    for end in range(3):
        world.produce("p", end)
    world.produce("q", 9, partition=1)
    events = []
    stream = world.stream(tell=events.append)
    stream.assign([ZERO, ONE])
    stream.step()
    stream.checkpoint()
    assert of(Assigned, events) == [Assigned(positions={ZERO: 0, ONE: 0})]
    (taken,) = of(Taken, events)
    assert (len(taken.records), taken.windows, taken.space) == (4, 4, "0" * 64)
    assert list(taken.stages) == ["poll", "embed", "write"]
    (checkpoint,) = of(Checkpointed, events)
    assert (checkpoint.ranges, checkpoint.rows) == ({ZERO: (0, 3), ONE: (0, 1)}, 4)
    assert stream.counts.records == 4


def test_a_checkpoint_of_nothing_is_not_told(world):
    events = []
    stream = world.stream(tell=events.append)
    stream.assign([ZERO])
    stream.checkpoint()
    assert of(Checkpointed, events) == []


def test_rejects_are_told_when_they_are_among_the_dead_letters_and_counted_with_a_place(world):
    world.broker.append(ZERO, b"{", appended_us=1)
    world.produce("p", 1)
    stream = world.stream()
    seen = []
    stream._tell = lambda event: isinstance(event, Rejected) and seen.append((event, len(world.dead_letters.rejects)))
    stream.assign([ZERO])
    stream.step()
    ((rejected, written),) = seen
    assert ([reject.reason for reject in rejected.rejects], written) == (["not-json"], 1)
    assert stream.counts.last_reject == {"not-json": "windows-0@0"}
    assert stream.counts.records == 2


def test_a_silent_store_is_told_once_a_minute_and_once_more_when_it_answers(world):
    world.produce("p", 1)
    events = []
    stream = world.stream(writes=[Unavailable("redis is away")] * 30, tell=events.append)
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    (recovered,) = of(Recovered, events)
    assert recovered.error == "redis is away"
    assert recovered.seconds == pytest.approx(sum(world.waited))
    assert len(of(Retrying, events)) == 2  # in all 30 attempts, over about two minutes


def test_what_retention_deleted_is_told_with_its_partition(world):
    for end in range(5):
        world.produce("p", end)
    events = []
    stream = world.stream(max_batch=1, tell=events.append)
    stream.assign([ZERO])
    stream.step()
    world.broker.retain(ZERO, 3)
    while stream.step():
        pass
    assert of(Lost, events) == [Lost(partition=ZERO, offsets=2)]
