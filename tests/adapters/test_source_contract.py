"""What every source promises, shown on the one in memory and on a real Kafka (the fixture `broker`)."""

import json
import time
from collections.abc import Callable, Sequence

import pytest

from undertow.core.errors import Refused
from undertow.schemas.records import Partition, Record
from undertow.stream.ports import Delivery, Source

POLLS = 40  # of half a second each, at most


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


def poll_until(source: Source, done: Callable[[Sequence[Delivery]], bool]) -> list[Delivery]:
    deliveries: list[Delivery] = []
    for _ in range(POLLS):
        if (delivery := source.poll(0.5)) is not None:
            deliveries.append(delivery)
        if done(deliveries):
            return deliveries
    raise AssertionError(f"not within {POLLS} polls; arrived: {deliveries}")


def read(source: Source, count: int) -> list[Record]:
    deliveries = poll_until(source, lambda d: sum(len(each.records) for each in d) >= count)
    return [record for delivery in deliveries for record in delivery.records]


def positions(deliveries: Sequence[Delivery]) -> dict[Partition, int]:
    return {p: offset for delivery in deliveries for p, offset in delivery.receipt.items()}


def test_records_arrive_whole_and_in_the_order_of_their_partition(broker):
    broker.append(0, window(1), key=b"k", headers=(("h", b"1"), ("h", b"2")))
    broker.append(0, None, key=b"gone")
    broker.append(0, b"\x00 not json")
    p0 = Partition(broker.topic, 0)
    source = broker.source()
    source.assign({p0: 0})
    first, second, third = read(source, 3)
    assert (first.partition, first.offset, first.value) == (p0, 0, window(1))
    assert (first.key, first.headers) == (b"k", (("h", b"1"), ("h", b"2")))
    assert abs(first.appended_us / 1e6 - time.time()) < 3600
    assert first.appended_us % 1000 == 0
    assert (second.offset, second.value, second.key, second.headers) == (1, None, b"gone", ())
    assert (third.offset, third.value) == (2, b"\x00 not json")


def test_a_delivery_carries_what_was_decoded_of_its_records(broker):
    for value in (window(1), b"{", window(3)):
        broker.append(0, value)
    source = broker.source()
    source.assign({Partition(broker.topic, 0): 0})
    (delivery,) = poll_until(source, lambda d: len(d) == 1)
    assert delivery.decoded.windows.series["id"].tolist() == [1, 3]
    assert [delivery.records[i].offset for i in delivery.decoded.record_of] == [0, 2]
    assert [reject.record.offset for reject in delivery.decoded.rejects] == [1]
    assert delivery.lost == {}


def test_a_poll_returns_none_when_nothing_has_moved(broker):
    source = broker.source()
    source.assign({Partition(broker.topic, 0): None})
    assert source.poll(0.1) is None
    broker.append(0, window(1))
    read(source, 1)
    assert source.poll(0.1) is None


def test_a_poll_brings_no_more_records_than_allowed(broker):
    for number in range(5):
        broker.append(number % 2, window(number))
    source = broker.source(max_batch=2)
    source.assign({Partition(broker.topic, 0): 0, Partition(broker.topic, 1): 0})
    deliveries = poll_until(source, lambda d: sum(len(each.records) for each in d) == 5)
    assert max(len(delivery.records) for delivery in deliveries) == 2
    assert positions(deliveries) == {Partition(broker.topic, 0): 3, Partition(broker.topic, 1): 2}


def test_the_receipt_moves_over_offsets_that_hold_no_record(broker):
    p0 = Partition(broker.topic, 0)
    broker.append(0, window(1))
    broker.abort(0)
    source = broker.source()
    source.assign({p0: 0})
    deliveries = poll_until(source, lambda d: positions(d).get(p0) == 3)
    assert [record.value for delivery in deliveries for record in delivery.records] == [window(1)]
    assert source.lag() == {p0: 0}


def test_without_a_start_reading_begins_at_the_committed_offset_else_at_the_earliest(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(3):
        broker.append(0, window(number))
        broker.append(1, window(number))
    broker.retain(1, 1)
    broker.source().commit({p0: 2})
    source = broker.source()
    assert source.assign({p0: None, p1: None}) == {p0: 2, p1: 1}
    assert sorted((record.partition.index, record.offset) for record in read(source, 3)) == [(0, 2), (1, 1), (1, 2)]


def test_a_commit_that_nobody_waits_for_arrives_all_the_same(broker):
    p0 = Partition(broker.topic, 0)
    broker.append(0, window(0))
    source = broker.source()
    source.assign({p0: 0})
    source.commit({p0: 1}, wait=False)
    for _ in range(POLLS):
        if broker.committed(0) == 1:
            return
        source.poll(0.05)
    raise AssertionError("not committed")


def test_a_commit_is_an_echo_that_may_be_repeated_and_moves_no_position(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 0})
    source.commit({p0: 2})
    source.commit({p0: 2})
    assert broker.committed(0) == 2
    assert [record.offset for record in read(source, 3)] == [0, 1, 2]
    source.commit({p0: 1})
    assert broker.committed(0) == 1


def test_nothing_is_committed_unasked(broker):
    broker.append(0, window(1))
    source = broker.source()
    source.assign({Partition(broker.topic, 0): None})
    read(source, 1)
    source.close()
    source.close()
    assert broker.committed(0) is None


def test_a_partition_that_is_kept_keeps_its_position_whatever_start_is_given(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(2):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 0})
    read(source, 2)
    broker.append(0, window(2))
    broker.append(1, window(3))
    assert source.assign({p0: 0, p1: 0}) == {p0: 2, p1: 0}
    assert sorted((record.partition.index, record.offset) for record in read(source, 2)) == [(0, 2), (1, 0)]


def test_a_partition_given_away_and_taken_back_begins_at_the_new_start(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(4):
        broker.append(0, window(number))
    source = broker.source(max_batch=1)
    source.assign({p0: 0, p1: 0})
    read(source, 2)
    assert source.assign({p1: 0}) == {p1: 0}
    assert source.lag() == {p1: 0}
    assert source.assign({p0: 1, p1: 0}) == {p0: 1, p1: 0}
    assert [record.offset for record in read(source, 3)] == [1, 2, 3]


def test_a_source_without_partitions_delivers_nothing(broker):
    broker.append(0, window(1))
    source = broker.source()
    assert source.poll(0.05) is None
    source.assign({Partition(broker.topic, 0): 0})
    assert source.assign({}) == {}
    assert source.poll(0.05) is None
    assert source.lag() == {}


def test_a_start_beyond_the_end_is_refused_and_changes_nothing(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    broker.append(0, window(1))
    source = broker.source()
    source.assign({p0: 0})
    with pytest.raises(Refused, match=f"expected to read {p1} from offset 5 on, but it ends at 0"):
        source.assign({p0: 0, p1: 5})
    assert [record.offset for record in read(source, 1)] == [0]


def test_the_end_itself_is_a_valid_start(broker):
    p0 = Partition(broker.topic, 0)
    broker.append(0, window(1))
    source = broker.source()
    assert source.assign({p0: 1}) == {p0: 1}
    broker.append(0, window(2))
    assert [record.offset for record in read(source, 1)] == [1]


def test_a_start_that_retention_has_overtaken_begins_at_the_earliest(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(5):
        broker.append(0, window(number))
    broker.retain(0, 3)
    source = broker.source()
    assert source.assign({p0: 1}) == {p0: 3}
    assert [record.offset for record in read(source, 2)] == [3, 4]


def test_retention_that_has_overtaken_a_committed_offset_is_told_with_what_was_lost(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(5):
        broker.append(0, window(number))
    first = broker.source()
    first.assign({p0: 0})
    first.commit({p0: 1})
    broker.retain(0, 3)
    source = broker.source()
    assert source.assign({p0: None}) == {p0: 1}
    deliveries = poll_until(source, lambda d: positions(d).get(p0) == 5)
    assert [record.offset for delivery in deliveries for record in delivery.records] == [3, 4]
    assert [delivery.lost for delivery in deliveries if delivery.lost] == [{p0: 2}]


def test_retention_that_overtakes_a_reader_is_told_with_what_was_lost(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(5):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 1})
    broker.retain(0, 3)
    deliveries = poll_until(source, lambda d: positions(d).get(p0) == 5)
    assert [record.offset for delivery in deliveries for record in delivery.records] == [3, 4]
    assert [delivery.lost for delivery in deliveries if delivery.lost] == [{p0: 2}]


def test_a_topic_made_anew_under_a_reader_is_refused(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 0})
    read(source, 3)
    broker.recreate()
    with pytest.raises(Refused, match=r"made anew|from offset 3 on, but it ends at 0"):
        poll_until(source, lambda _: False)


def test_the_lag_is_what_lies_between_the_position_and_the_end(broker):
    p0, p1 = Partition(broker.topic, 0), Partition(broker.topic, 1)
    for number in range(4):
        broker.append(0, window(number))
    source = broker.source(max_batch=1)
    source.assign({p0: 1, p1: 0})
    assert source.lag() == {p0: 3, p1: 0}
    read(source, 1)
    assert source.lag() == {p0: 2, p1: 0}
    read(source, 2)
    assert source.lag() == {p0: 0, p1: 0}


def test_two_sources_read_the_same_partition_without_knowing_of_each_other(broker):
    p0 = Partition(broker.topic, 0)
    broker.append(0, window(1))
    one, other = broker.source(), broker.source()
    one.assign({p0: 0})
    other.assign({p0: 0})
    assert read(one, 1) == read(other, 1)


def test_an_offset_that_was_committed_for_another_view_is_passed_over(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    ours = broker.source(view="pumps__aaaaaaaa")
    ours.assign({p0: 0})
    ours.commit({p0: 2})
    for view, start in (("pumps__aaaaaaaa", 2), ("other__aaaaaaaa", 0), ("", 2)):
        assert broker.source(view=view).assign({p0: None}) == {p0: start}


def test_an_offset_that_does_not_say_for_whom_it_was_committed_is_taken(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    operator = broker.source()
    operator.assign({p0: 0})
    operator.commit({p0: 2})
    assert broker.source(view="pumps__aaaaaaaa").assign({p0: None}) == {p0: 2}
