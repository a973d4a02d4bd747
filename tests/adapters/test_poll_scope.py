"""What a source brings where less is asked for, on the one in memory and on a real Kafka (the fixture `broker`)."""

import json
from random import Random

import pytest

from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import PollScope

POLLS = 40  # of half a second each, at most


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


def read(source, count, within=None):
    found = []
    for _ in range(POLLS):
        if len(found) < count and (delivery := source.poll(0.5, within)) is not None:
            found += delivery.records
    return found


def test_with_a_reach_no_more_is_brought_than_it_says_and_the_rest_later(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(4):
        broker.append(0, window(number))
        broker.append(1, window(10 + number))
    source = broker.source()
    source.assign({p0: 0, p1: 0})
    alone = PollScope(only=frozenset([p1]), at_most=1)
    first, second = (next(d for _ in range(POLLS) if (d := source.poll(0.5, alone))) for _ in range(2))
    assert [record.value for record in (*first.records, *second.records)] == [window(10), window(11)]
    refused = PollScope(only=frozenset([p1]), at_most=1, refused=("hangs", "why"))
    third = next(d for _ in range(POLLS) if (d := source.poll(0.5, refused)))
    assert [(one.record.value, one.reason) for one in third.decoded.rejects] == [(window(12), "hangs")]
    assert len(third.decoded.windows) == 0
    assert third.receipt == {p1: 3}
    rest = read(source, 5)
    assert sorted(record.value for record in rest) == sorted([window(13), *map(window, range(4))])


def test_a_partition_left_and_come_back_to_goes_on_though_another_was_read_to_its_end_between(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(4):
        broker.append(0, window(number))
        broker.append(1, window(10 + number))
    source = broker.source()
    source.assign({p0: 0, p1: 0})
    alone, others = PollScope(only=frozenset([p1]), at_most=1), PollScope(only=frozenset([p0]))
    (first,) = read(source, 1, alone)
    assert [record.value for record in read(source, 4, others)] == [window(number) for number in range(4)]
    assert source.poll(0.1, others) is None
    rest = [record for _ in range(3) for record in read(source, 1, alone)]
    assert [record.value for record in (first, *rest)] == [window(10 + number) for number in range(4)]


@pytest.mark.parametrize("seed", range(3))
def test_each_partition_is_brought_whole_and_in_order_whatever_the_reach_of_each_poll(broker, seed):
    chance, partitions = Random(seed), [Partition(broker.topic, index) for index in range(2)]
    for number in range(20):
        for one in partitions:
            broker.append(one.index, window(100 * one.index + number))
    source, positions = broker.source(), dict.fromkeys(partitions, 0)
    source.assign(positions)
    found = {one: [] for one in partitions}
    turns = [
        None if one is None else PollScope(only=frozenset([one]), at_most=chance.choice([1, 2, 5]))
        for one in chance.choices([None, *partitions], k=20)
    ]
    leaves = chance.randrange(20)
    for turn, within in enumerate([*turns, *[None] * POLLS]):
        if turn == leaves:  # one partition is given away and comes back
            positions |= source.assign({partitions[0]: positions[partitions[0]]})
            positions |= source.assign(positions)
        if all(position == 20 for position in positions.values()):
            break
        if (delivery := source.poll(0.5, within)) is None:
            assert within is not None
            assert all(positions[one] == 20 for one in within.only), within
            continue
        positions |= delivery.receipt
        for record in delivery.records:
            found[record.partition].append(record.value)
    assert found == {one: [window(100 * one.index + number) for number in range(20)] for one in partitions}
