"""What a source brings where less is asked for, on the one in memory and on a real Kafka (the fixture `broker`)."""

import json

from schemas.records import Partition
from workers.core.care import Reach

POLLS = 40  # of half a second each, at most


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


def read(source, count):
    found = []
    for _ in range(POLLS):
        if len(found) < count and (delivery := source.poll(0.5)) is not None:
            found += delivery.records
    return found


def test_with_a_reach_no_more_is_brought_than_it_says_and_the_rest_later(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(4):
        broker.append(0, window(number))
        broker.append(1, window(10 + number))
    source = broker.source()
    source.assign({p0: 0, p1: 0})
    alone = Reach(only=frozenset([p1]), at_most=1)
    first, second = (next(d for _ in range(POLLS) if (d := source.poll(0.5, alone))) for _ in range(2))
    assert [record.value for record in (*first.records, *second.records)] == [window(10), window(11)]
    refused = Reach(only=frozenset([p1]), at_most=1, refused=("hangs", "why"))
    third = next(d for _ in range(POLLS) if (d := source.poll(0.5, refused)))
    assert [(one.record.value, one.reason) for one in third.decoded.rejects] == [(window(12), "hangs")]
    assert len(third.decoded.windows) == 0
    assert third.receipt == {p1: 3}
    rest = read(source, 5)
    assert sorted(record.value for record in rest) == sorted([window(13), *map(window, range(4))])
