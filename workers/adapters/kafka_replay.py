"""Read dead letters, and send them again to the partitions they came from.

In: settings. Out: `DeadLetter`s, oldest first; records in the source topic, acknowledged. Knows nothing of windows.
A replayed letter is noted in the dead-letter topic itself, by a record without a value and with the header
`undertow.sent`, so that the next replay, from any machine, sees it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from undertow.adapters.kafka_admin import find_topic
from undertow.adapters.kafka_client import client_options, translate_error
from undertow.adapters.kafka_dead_letters import GIVE_UP_AFTER_MS, KEY, PREFIX
from undertow.core.errors import Refused
from undertow.schemas.records import Headers, Partition
from undertow.settings.sections import KafkaSettings

ORIGIN = "undertow-origin"
"""Header of a record that was sent again: where it first came from, as topic-partition@offset."""
SENT = "undertow.sent"
"""Header of a note in the dead-letter topic: which letter was sent again, as topic-partition@offset."""
POLL_MS = 500
_LONGEST_NUMBER = 18  # digits of an offset, which has 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayNote:
    """A note that a letter was sent again."""

    letter: str
    """Its place in the dead-letter topic, as topic-partition@offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One rejected record as the dead-letter topic has it."""

    partition: Partition
    """Of the dead-letter topic."""
    offset: int
    at_us: int
    """When it was rejected: microseconds since the epoch, UTC."""
    reason: str
    detail: str
    artifact: str
    """The name of the artifact that rejected it."""
    space: str
    """Its space; both are empty where another program wrote the letter, or a version without this header."""
    origin: Partition
    origin_offset: int
    """This and the partition are -1, and the topic is empty, where the letter lacks them."""
    value: bytes
    key: bytes | None
    headers: Headers
    """Those of the producer."""
    is_cut: bool
    """Whether the record was truncated, since it was too large for the topic."""

    @property
    def view(self) -> str:
        """The name of the view that it is missing from, as in `SpaceView`; empty where unknown."""
        return f"{self.artifact}__{self.space[:8]}" if self.space else ""

    @property
    def place(self) -> str:
        """Its place in the dead-letter topic, as topic-partition@offset."""
        return f"{self.partition}@{self.offset}"


def read_dead_letters(settings: KafkaSettings) -> Iterator[DeadLetter | ReplayNote]:
    """Yield the topic's present content, a note after its letter. Raises `Refused` where there is no such topic."""
    if (topic := find_topic(settings, settings.dead_letter_topic)) is None:
        message = (
            f"there are no dead letters: the topic {settings.dead_letter_topic} (kafka.dead_letters) is not at "
            f"{settings.bootstrap} yet; undertow run makes it"
        )
        raise Refused(message)
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
        raise translate_error(error, f"deliver {topic.name}", settings) from error


def send_again(settings: KafkaSettings, letters: Iterable[tuple[DeadLetter, bytes]]) -> int:
    """Send values for their letters, each to the partition it came from, then their notes; return the number sent.

    Raises `Unavailable`; any of them may then have been sent without a note.
    """
    fixed: dict[str, Any] = {"acks": "all", "enable_idempotence": False, "allow_auto_create_topics": False}
    sent: list[tuple[DeadLetter, Any]] = []
    try:
        producer: Any = KafkaProducer(
            **{"max_block_ms": GIVE_UP_AFTER_MS, **client_options(settings, KafkaProducer, **fixed)}
        )
        try:
            for letter, value in letters:
                headers = [*letter.headers]
                if ORIGIN not in dict(headers):
                    headers.append((ORIGIN, f"{letter.origin}@{letter.origin_offset}".encode()))
                place = letter.origin
                sending = producer.send(
                    place.topic, value=value, key=letter.key, headers=headers, partition=place.index
                )
                sent.append((letter, sending))
            for _, sending in sent:
                sending.get(timeout=GIVE_UP_AFTER_MS / 1000)
            _note(producer, [letter for letter, _ in sent])
        finally:
            producer.close(timeout=GIVE_UP_AFTER_MS / 1000)
    except (KafkaError, AssertionError) as error:  # kafka-python asserts that a partition exists
        if isinstance(error, AssertionError):
            message = f"a partition that dead letters came from is no longer there: {error}"
            raise Refused(message) from error
        raise translate_error(error, f"take records into {settings.topic} (kafka.topic)", settings) from error
    return len(sent)


def _note(producer: Any, letters: Iterable[DeadLetter]) -> None:
    """Write the note of each letter."""
    notes = [
        producer.send(
            letter.partition.topic,
            value=b"",
            key=f"{SENT} {letter.place}".encode(),  # one of its own, as a topic that is compacted asks
            headers=[(SENT, letter.place.encode())],
            partition=letter.partition.index,
        )
        for letter in letters
    ]
    for note in notes:
        note.get(timeout=GIVE_UP_AFTER_MS / 1000)


def _number(told: str | None) -> int:
    """Parse a header's number, -1 where it is absent or malformed."""
    is_number = told is not None and told.isascii() and told.isdigit() and len(told) <= _LONGEST_NUMBER
    return int(told or "") if is_number else -1


def _place(message: Any) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)


def _read(message: Any) -> DeadLetter | ReplayNote:
    headers = tuple((name, value or b"") for name, value in message.headers or ())
    if (sent := dict(headers).get(SENT)) is not None and not message.value:
        return ReplayNote(letter=sent.decode(errors="replace"))
    # Only what bears our prefix is ours: a producer may well have a header `partition` or `truncated` of its own.
    told = {
        name.removeprefix(PREFIX): value.decode(errors="replace") for name, value in headers if name.startswith(PREFIX)
    }
    origin, place = Partition(told.get("topic", ""), _number(told.get("partition"))), _number(told.get("offset"))
    key = message.key
    if key is not None and key.startswith(f"{origin}@{place}/".encode()):  # ours; earlier versions kept the record's
        key = dict(headers).get(KEY)
    return DeadLetter(
        partition=Partition(message.topic, message.partition),
        offset=message.offset,
        at_us=message.timestamp * 1000,
        reason=told.get("reason", "unknown"),
        detail=told.get("detail", "another program wrote it"),
        artifact=told.get("artifact", ""),
        space=told.get("space", ""),
        origin=origin,
        origin_offset=place,
        value=message.value or b"",
        key=key,
        headers=tuple((name, value) for name, value in headers if not name.startswith(PREFIX)),
        is_cut="truncated" in told,
    )
