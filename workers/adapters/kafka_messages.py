"""Convert kafka-python's messages to our records and marks.

In: messages of a consumer. Out: records, marks. Knows no consumer.
"""

from typing import Any

from undertow.schemas.records import Partition, Record
from undertow.stream.record_marks import Mark, mark_of


def record_of(message: Any, partition: Partition) -> Record:
    """Convert a message to a record."""
    return Record(
        partition=partition,
        offset=message.offset,
        appended_us=message.timestamp * 1000,
        value=message.value,
        key=message.key,
        headers=tuple((name, value or b"") for name, value in message.headers) if message.headers else (),
    )


def mark_of_message(message: Any) -> Mark:
    """Return the mark of a message."""
    return mark_of(
        offset=message.offset,
        epoch=message.leader_epoch,
        appended_ms=message.timestamp,
        key=message.key,
        value=message.value,
    )
