"""Resolve the start offsets of partitions against committed, earliest and end offsets of the broker.

In: a consumer, requested offsets. Out: existing offsets. Knows nothing of records.
"""

from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from undertow.adapters.kafka_client import translate_error
from undertow.adapters.kafka_commit_metadata import is_anothers
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings

ANSWER_MS = 10_000
MADE_ANEW = "the topic was deleted and made anew, or the broker lost its data"


def find_places(
    consumer: Any, settings: KafkaSettings, starts: Mapping[Partition, int | None], *, view: str, topic_id: str = ""
) -> tuple[dict[Partition, int], dict[Partition, int]]:
    """Return the start offset and the end offset of each partition. Raises `Refused`, `Unavailable`.

    Where no start is given it is the offset committed for the `view`, of this topic.
    """
    asked = {TopicPartition(p.topic, p.index): p for p in starts}
    try:
        firsts = consumer.beginning_offsets(list(asked), timeout_ms=ANSWER_MS)
        ends = consumer.end_offsets(list(asked), timeout_ms=ANSWER_MS)
        wanted = {
            tp: _committed(consumer, tp, view, topic_id) if starts[p] is None else starts[p] for tp, p in asked.items()
        }
    except KafkaError as error:
        doing = f"say where {', '.join(map(str, starts))} begin and end"
        raise translate_error(error, doing, settings) from error
    for tp, start in wanted.items():
        if start is not None and start > ends[tp]:
            message = f"expected to read {asked[tp]} from offset {start} on, but it ends at {ends[tp]}: {MADE_ANEW}"
            raise Refused(message)
    # A committed offset is not moved here: the loss behind it is reported by the poll that is out of range.
    places = {
        p: place if starts[p] is None and (place := wanted[tp]) is not None else max(wanted[tp] or 0, firsts[tp])
        for tp, p in asked.items()
    }
    return places, {p: ends[tp] for tp, p in asked.items()}


def first_offset(consumer: Any, settings: KafkaSettings, partition: Partition) -> int:
    """Return the earliest offset of a partition. Raises `Unavailable`."""
    tp = TopicPartition(partition.topic, partition.index)
    try:
        return int(consumer.beginning_offsets([tp], timeout_ms=ANSWER_MS)[tp])
    except KafkaError as error:
        raise translate_error(error, f"say where {partition} begins", settings) from error


def _committed(consumer: Any, tp: TopicPartition, view: str, topic_id: str) -> int | None:
    """Return the offset committed for our view, or without a view (by an operator's tool)."""
    found = consumer.committed(tp, metadata=True, timeout_ms=ANSWER_MS)
    return None if found is None or is_anothers(found.metadata, view, topic_id) else int(found.offset)
