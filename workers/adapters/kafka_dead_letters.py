"""Write rejects to the dead-letter topic: the original record, with headers of its reason and origin.

In: rejects. Out: records of `kafka.dead_letters`, acknowledged by all replicas of the topic. Knows nothing of windows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from undertow.adapters.kafka_admin import ensure_dead_letters, find_topic
from undertow.adapters.kafka_client import client_options, translate_error
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.records import Headers, Record, Reject
from undertow.settings.sections import KafkaSettings

PREFIX = "undertow."
KEY = f"{PREFIX}key"
"""Header with the key of the record."""
LARGEST_REQUEST_BYTES = 64 << 20
HEAD_BYTES = 64 << 10
"""How much is kept of a record that is too large for the topic; halved repeatedly where it is still too much."""
LEAST_HEAD_BYTES = 256
GIVE_UP_AFTER_MS = 15_000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_PERHAPS_GONE = (UnknownTopicOrPartitionError, KafkaTimeoutError)


def letter_key(record: Record, refused_by: Mapping[str, str]) -> bytes:
    """Return a dead letter's key, which is unique: a compacted topic would keep one letter per key.

    The record's own key is in the headers.
    """
    space = refused_by.get("space", "")
    return f"{record.partition}@{record.offset}/{record.appended_us}/{space}".encode()


def headers_of(reject: Reject, refused_by: Mapping[str, str] | None = None, *, truncated: bool = False) -> Headers:
    """Return the headers with the reason, the rejecting artifact and the origin, always of the whole record."""
    record = reject.record
    told: dict[str, object] = {
        "reason": reject.reason,
        "detail": reject.detail,
        "topic": record.partition.topic,
        "partition": record.partition.index,
        "offset": record.offset,
        "timestamp_us": record.appended_us,
        **(refused_by or {}),
    }
    if truncated:
        told["truncated"] = len(record.value or b"")
    return tuple((PREFIX + name, str(value).encode(errors="backslashreplace")) for name, value in told.items())


class KafkaDeadLetters:
    """A `DeadLetters`."""

    def __init__(self, settings: KafkaSettings, refused_by: Mapping[str, str] | None = None) -> None:
        """`refused_by` goes into the headers: the artifact's name, and its space."""
        self._settings, self._refused_by = settings, refused_by or {}
        defaults = {"max_request_size": LARGEST_REQUEST_BYTES, "max_block_ms": GIVE_UP_AFTER_MS}
        # An idempotent producer's state is broken for good by one lost batch, and at-least-once is all we promise.
        fixed: dict[str, Any] = {"acks": "all", "enable_idempotence": False, "allow_auto_create_topics": False}
        waits = {"request_timeout_ms": GIVE_UP_AFTER_MS // 2, "delivery_timeout_ms": GIVE_UP_AFTER_MS}
        try:
            self._producer: Any = KafkaProducer(
                **{**defaults, **waits, **client_options(settings, KafkaProducer, **fixed)}
            )
        except KafkaError as error:
            raise translate_error(error, "connect", settings) from error

    def write(self, rejects: Iterable[Reject]) -> None:
        """Write; return when all are acknowledged. A missing topic is created again, and `Unavailable` raised."""
        try:
            sent = [(reject, self._send(reject)) for reject in rejects]
            for reject, sending in sent:
                if not _was_taken(sending):
                    self._send_alone(reject)
        except KafkaError as error:
            if isinstance(error, _PERHAPS_GONE):
                self._make_again()
            doing = f"take rejects into {self._settings.dead_letter_topic} (kafka.dead_letters)"
            raise translate_error(error, doing, self._settings) from error

    def close(self) -> None:
        """Close the producer."""
        self._producer.close(timeout=1)

    def _send(self, reject: Reject, head: int | None = None, *, bare: bool = False) -> Any:
        """Return the pending acknowledgement, None where the record is too large even to be sent.

        `head` is how much of its value is sent, all by default; `bare` leaves its own key and headers out.
        """
        record, headers = reject.record, []
        if not bare:
            # Our headers of an earlier reject of this record are replaced.
            headers = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
            headers += [(KEY, record.key)] if record.key is not None else []
        try:
            return self._producer.send(
                self._settings.dead_letter_topic,
                value=(record.value or b"")[:head],  # without any, a compacted topic would drop the letter
                key=letter_key(record, self._refused_by),
                headers=[*headers, *headers_of(reject, self._refused_by, truncated=head is not None)],
            )
        except _TOO_LARGE:
            return None

    def _send_alone(self, reject: Reject) -> None:
        """Send as much of a record as the topic accepts, in a batch of its own, since batches are what it limits."""
        record = reject.record
        rest = sum(len(name) + len(value) for name, value in record.headers) + len(record.key or b"")
        tries: list[tuple[int | None, bool]] = [(None, False)]
        head = HEAD_BYTES
        while head >= LEAST_HEAD_BYTES:
            tries.append((head, rest > head))
            head //= 2
        for length, bare in (*tries, (0, True)):
            if _was_taken(self._send(reject, length, bare=bare)):
                return
        message = (
            f"the topic {self._settings.dead_letter_topic} (kafka.dead_letters) takes not even the headers of a "
            "letter: its max.message.bytes is too small"
        )
        raise Unavailable(message)

    def _make_again(self) -> None:
        """Create the topic if it is missing. Raises `Unavailable` where that fails."""
        topic = self._settings.dead_letter_topic
        try:
            if find_topic(self._settings, topic) is not None:
                return
            ensure_dead_letters(self._settings)
        except Refused as error:
            message = f"the topic {topic} (kafka.dead_letters) is missing and cannot be made again: {error}"
            raise Unavailable(message) from error
        message = f"the topic {topic} (kafka.dead_letters) was missing, and is made again"
        raise Unavailable(message)


def _was_taken(sending: Any) -> bool:
    """Wait for the acknowledgement; return False where the record was too large."""
    try:
        if sending is not None:
            sending.get(timeout=GIVE_UP_AFTER_MS / 1000)
    except _TOO_LARGE:
        return False
    return sending is not None
