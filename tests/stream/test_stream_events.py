"""What a stream tells of itself, beside its effects."""

from dataclasses import replace

import pytest

from undertow.core.errors import Unavailable
from undertow.schemas.event_times import EventTimes, hold_records
from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.events import (
    Assigned,
    Checkpointed,
    ClockAhead,
    Lost,
    OddTimes,
    Recovered,
    Rejected,
    Retrying,
    Taken,
)
from undertow.stream.ports import Gap

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


def test_what_is_passed_over_is_told_counted_lost_in_its_part_and_kept_among_the_dead_letters(world):
    for end in range(5):
        world.produce("p", end)
    events = []
    stream = world.stream(max_batch=2, tell=events.append)
    source, spoilt = stream._source, Record(partition=ZERO, offset=2, appended_us=1, value=b"as it lies in the log")
    gap = Gap(reject=Reject(record=spoilt, reason="bomb", detail="too much"), next=5)

    class PassesOver:
        """Delivers the first two, and behind them a gap."""

        def poll(self, timeout_s, reach):
            delivery = source.poll(timeout_s, reach)
            passed = delivery is not None and delivery.receipt == {ZERO: 4}
            return replace(delivery, receipt={ZERO: 5}, gaps=[gap]) if passed else delivery

        def __getattr__(self, name):
            return getattr(source, name)

    stream._source = PassesOver()
    stream.assign([ZERO])
    stream.step()
    stream.step()
    stream.checkpoint()
    assert of(Lost, events) == [Lost(partition=ZERO, offsets=3, reason="bomb")]
    assert [reject.record.value for reject in world.dead_letters.rejects] == [b"as it lies in the log"]
    assert (stream.counts.lost, stream.counts.rejects) == (3, {"bomb": 1})
    assert [(part.next, part.lost) for part in world.chains.parts[ZERO].values()] == [(5, 3)]


def test_a_clock_that_stamps_records_ahead_of_ours_is_counted_and_told_and_latency_is_not_made_better_by_it(world):
    for end in (1_000_250_000, 999_000_000, 1_000_100_000):  # the world's clock stands at 1000 s
        world.produce("p", end)
    events = []
    stream = world.stream(tell=events.append)
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    assert of(ClockAhead, events) == [ClockAhead(windows=2, seconds=pytest.approx(0.25))]
    assert stream.counts.clock_ahead == 2
    assert stream.counts.latency[0] == 2
    assert stream.counts.latency.sum() == 3


def test_odd_event_times_are_counted_and_told_and_those_not_believed_are_dead_letters(world):
    decode = world.decode
    times = EventTimes(first_us=10, last_us=20)
    world.decode = lambda records: hold_records(decode(records), records, times)
    for end in (9, 10, 15, 21):
        world.produce("p", end)
    events = []
    stream = world.stream(tell=events.append)
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()
    (odd,) = of(OddTimes, events)
    assert (odd.windows, odd.example) == (2, "pump=p, 1970-01-01T00:00:00.000015Z")
    assert (stream.counts.odd_times, stream.counts.windows) == (2, 2)
    assert [reject.reason for reject in world.dead_letters.rejects] == ["event-time"] * 2
    assert world.offline_offsets() == [1, 2]


def test_a_broker_that_does_not_answer_is_said_to_keep_the_stream_waiting(world):
    stream = world.stream()
    stream.assign([Partition("windows", 0)])
    stream.step()
    assert stream.retrying.blocked is None
    stream._source.silence = "Kafka has not answered for 40 s"
    stream.step()
    assert stream.retrying.blocked == "Kafka has not answered for 40 s"
    stream._source.silence = None
    stream.step()
    assert stream.retrying.blocked is None
