"""Dead letters read back, and sent again to where they came from.

In: settings. Out: `DeadLetter`s, oldest first; records in the source topic, acknowledged. Knows nothing of windows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from schemas.records import Headers, Partition
from workers.adapters.kafka_admin import describe_topic
from workers.adapters.kafka_client import client_options, in_our_words
from workers.adapters.kafka_dead_letters import PATIENCE_MS, PREFIX
from workers.core.errors import Refused
from workers.settings import KafkaSettings

ORIGIN = "undertow-origin"
"""Header of a record that was sent again: where it first came from, as topic-partition@offset."""
POLL_MS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One refused record as the dead-letter topic keeps it."""

    partition: Partition
    """Of the dead-letter topic."""
    offset: int
    at_us: int
    """When it was refused: microseconds since the epoch, UTC."""
    reason: str
    detail: str
    origin: Partition
    origin_offset: int
    value: bytes
    key: bytes | None
    headers: Headers
    """Those of the producer."""
    is_cut: bool
    """Whether the topic holds its beginning only, since it was too large."""


def read_dead_letters(settings: KafkaSettings) -> Iterator[DeadLetter]:
    """Yield all that the topic holds now. Raises `Refused` where there is no such topic."""
    topic = describe_topic(settings, settings.dead_letter_topic)
    partitions = [TopicPartition(topic.name, index) for index in range(topic.partitions)]
    try:
        consumer: Any = KafkaConsumer(**client_options(settings, KafkaConsumer, enable_auto_commit=False))
        try:
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(tp) < ends[tp] for tp in partitions):
                for messages in consumer.poll(timeout_ms=POLL_MS).values():
                    yield from (_read(message) for message in messages if message.offset < ends[_place(message)])
        finally:
            consumer.close(autocommit=False)
    except KafkaError as error:
        raise in_our_words(error, f"deliver {topic.name}", settings) from error


def send_again(settings: KafkaSettings, letters: Iterable[tuple[DeadLetter, bytes]]) -> int:
    """Send values in their letters' names, each to the partition it came from; return how many were acknowledged.

    Sending a record twice does no harm: its effects are idempotent. Raises `Unavailable`; any part may have been sent.
    """
    fixed: dict[str, Any] = {"acks": "all", "enable_idempotence": False, "allow_auto_create_topics": False}
    sent = []
    try:
        producer: Any = KafkaProducer(
            **{"max_block_ms": PATIENCE_MS, **client_options(settings, KafkaProducer, **fixed)}
        )
        try:
            for letter, value in letters:
                headers = [*letter.headers]
                if ORIGIN not in dict(headers):
                    headers.append((ORIGIN, f"{letter.origin}@{letter.origin_offset}".encode()))
                place = letter.origin
                sent.append(
                    producer.send(place.topic, value=value, key=letter.key, headers=headers, partition=place.index)
                )
            for future in sent:
                future.get(timeout=PATIENCE_MS / 1000)
        finally:
            producer.close(timeout=PATIENCE_MS / 1000)
    except (KafkaError, AssertionError) as error:  # kafka-python asserts that a partition exists
        if isinstance(error, AssertionError):
            message = f"a partition that dead letters came from is no longer there: {error}"
            raise Refused(message) from error
        raise in_our_words(error, f"take records into {settings.topic} (kafka.topic)", settings) from error
    return len(sent)


def _place(message: Any) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)


def _read(message: Any) -> DeadLetter:
    headers = tuple((name, value or b"") for name, value in message.headers or ())
    told = {name.removeprefix(PREFIX): value.decode(errors="replace") for name, value in headers}
    return DeadLetter(
        partition=Partition(message.topic, message.partition),
        offset=message.offset,
        at_us=message.timestamp * 1000,
        reason=told.get("reason", "unknown"),
        detail=told.get("detail", "another program wrote it"),
        origin=Partition(told.get("topic", ""), int(told.get("partition", -1))),
        origin_offset=int(told.get("offset", -1)),
        value=message.value or b"",
        key=message.key,
        headers=tuple((name, value) for name, value in headers if not name.startswith(PREFIX)),
        is_cut="truncated" in told,
    )
