"""kafka-python's messages, as records and marks of ours.

In: what a consumer hands out. Out: the same in our words. Knows no consumer.
"""

from typing import Any

from undertow.schemas.records import Partition, Record
from undertow.stream.marks import Mark, mark_of


def record_of(message: Any, partition: Partition) -> Record:
    """Return the record that a message is."""
    return Record(
        partition=partition,
        offset=message.offset,
        appended_us=message.timestamp * 1000,
        value=message.value,
        key=message.key,
        headers=tuple((name, value or b"") for name, value in message.headers) if message.headers else (),
    )


def mark_of_message(message: Any) -> Mark:
    """Return the mark of the record that a message is."""
    return mark_of(
        offset=message.offset,
        epoch=message.leader_epoch,
        appended_ms=message.timestamp,
        key=message.key,
        value=message.value,
    )
