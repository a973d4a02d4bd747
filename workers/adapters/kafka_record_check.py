"""Check whether the broker still has records that were read before.

In: settings, marks. Out: a verdict for each. Knows nothing of chains. Opens its own connection, for one batch a
partition.
"""

import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from undertow.adapters.kafka_client import client_options, translate_error
from undertow.adapters.kafka_guard import Guard
from undertow.adapters.kafka_messages import mark_of_message
from undertow.adapters.kafka_topic_id import SameTopic
from undertow.core.errors import Unavailable, UndertowError
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.record_marks import Mark

ANSWER_MS = 10_000


def holds(settings: KafkaSettings, marks: Mapping[Partition, Mark], same: SameTopic) -> dict[Partition, bool | None]:
    """Return whether each record is unchanged, None where that cannot be determined.

    Raises `Refused` where one is gone or different because the topic was re-created, `Unavailable`.
    """
    try:
        # A broker returns at least one whole batch, even for one byte, which is all we need.
        options = client_options(settings, KafkaConsumer, enable_auto_commit=False, auto_offset_reset="none")
        options |= {"group_id": None, "isolation_level": "read_committed", "max_partition_fetch_bytes": 1}
        consumer = KafkaConsumer(**options)
        try:
            asked = {TopicPartition(p.topic, p.index): (p, mark) for p, mark in marks.items()}
            verdicts = _compare(consumer, settings, asked)
        finally:
            consumer.close(autocommit=False)
    except KafkaError as error:
        doing = f"show {', '.join(f'offset {mark.offset} of {partition}' for partition, mark in marks.items())} again"
        raise translate_error(error, doing, settings) from error
    if False in verdicts.values():
        same.require()
    return verdicts


def _compare(
    consumer: Any, settings: KafkaSettings, asked: Mapping[TopicPartition, tuple[Partition, Mark]]
) -> dict[Partition, bool | None]:
    Guard(max_unpacked_bytes=settings.max_unpacked_bytes, max_poll_bytes=settings.max_poll_bytes).watch(consumer)
    firsts = consumer.beginning_offsets(list(asked), timeout_ms=ANSWER_MS)
    ends = consumer.end_offsets(list(asked), timeout_ms=ANSWER_MS)
    verdicts: dict[Partition, bool | None] = {}
    open_: dict[TopicPartition, tuple[Partition, Mark]] = {}
    for tp, (partition, mark) in asked.items():
        if firsts[tp] <= mark.offset < ends[tp]:
            open_[tp] = partition, mark
        else:
            verdicts[partition] = False if mark.offset >= ends[tp] else None
    consumer.assign(list(open_))  # and no other: polled with a partition that has no position, kafka-python raises
    for tp, (_, mark) in open_.items():
        consumer.seek(tp, mark.offset)
    give_up_at = time.monotonic() + ANSWER_MS / 1000
    while open_:
        if time.monotonic() > give_up_at:
            message = f"Kafka at {settings.bootstrap} (kafka.bootstrap) did not show what was read last of {[*open_]}"
            raise Unavailable(message)
        for tp, verdict in _look(consumer, open_).items():
            partition, _ = open_.pop(tp)
            verdicts[partition] = verdict
            consumer.pause(tp)
    return verdicts


def _look(consumer: Any, asked: Mapping[TopicPartition, tuple[Partition, Mark]]) -> dict[TopicPartition, bool | None]:
    """Poll once; return the verdicts known by now."""
    try:
        batches = consumer.poll(timeout_ms=200)
    except (KafkaError, UndertowError) as error:
        if not isinstance(error, CorruptRecordError):
            raise
        return dict.fromkeys(asked, None)
    except Exception:  # noqa: BLE001 whatever kafka-python raises for unreadable data, the verdict is unknown
        return dict.fromkeys(asked, None)
    verdicts: dict[TopicPartition, bool | None] = {}
    for tp, (_, mark) in asked.items():
        if messages := batches.get(tp):
            found = messages[0]
            verdicts[tp] = mark_of_message(found) == mark if found.offset == mark.offset else None
        elif consumer.position(tp, timeout_ms=0) > mark.offset:  # it was compacted, or is of an aborted transaction
            verdicts[tp] = None
    return verdicts
