"""What every source promises of records that were read last: does the broker hold them still (the fixture `broker`)."""

import pytest

from tests.adapters.test_source_contract import poll_until, window
from undertow.schemas.records import Partition
from undertow.stream.record_marks import Mark

RECORDS = 3


@pytest.fixture
def marks(broker) -> dict[Partition, Mark]:
    """The last record of each of three partitions, as a source that has read all of them marks it."""
    partitions = [Partition(broker.topic, index) for index in range(3)]
    for partition in partitions:
        for number in range(RECORDS):
            broker.append(partition.index, window(10 * partition.index + number))
    source = broker.source()
    source.assign(dict.fromkeys(partitions, 0))
    found = {}
    last = RECORDS - 1

    def are_read(polls):
        found.update(polls[-1].marks if polls else {})
        return all(partition in found and found[partition].offset == last for partition in partitions)

    poll_until(source, are_read)
    return found


def test_each_partition_is_told_apart_where_retention_has_deleted_the_last_record_of_one(broker, marks):
    broker.append(1, window(99))
    broker.retain(1, RECORDS + 1)
    p0, p1, p2 = marks
    assert broker.source().holds(marks) == {p0: True, p1: None, p2: True}


def test_each_partition_is_told_apart_where_one_ends_before_its_last_record(broker, marks):
    p0, p1, p2 = marks
    beyond = Mark(offset=99, epoch=marks[p1].epoch, digest=marks[p1].digest)
    assert broker.source().holds({**marks, p1: beyond}) == {p0: True, p1: False, p2: True}


def test_where_none_can_be_looked_at_nothing_is_waited_for(broker, marks):
    for partition in marks:
        broker.append(partition.index, window(99))
        broker.retain(partition.index, RECORDS + 1)
    assert broker.source().holds(marks) == dict.fromkeys(marks)
