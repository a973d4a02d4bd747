"""Rejects go to a Kafka topic, as they were, with headers that say why and where from.

In: rejects. Out: records of `kafka.dead_letters`, acknowledged by all replicas of the topic. Knows nothing of windows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.records import Headers, Reject
from workers.adapters.kafka_client import client_options, in_our_words
from workers.sections import KafkaSettings

PREFIX = "undertow."
LARGEST_REQUEST_BYTES = 64 << 20
HEAD_BYTES = 64 << 10
"""What is kept of a record that the topic does not take whole."""
PATIENCE_MS = 15_000
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


def headers_of(reject: Reject, refused_by: Mapping[str, str] | None = None, *, truncated: bool = False) -> Headers:
    """Return the headers that tell why, by whom and where from. The origin is always that of the whole record."""
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
        """`refused_by` goes into the headers: the name of the artifact, and its space."""
        self._settings, self._refused_by = settings, refused_by
        defaults = {"max_request_size": LARGEST_REQUEST_BYTES, "max_block_ms": PATIENCE_MS}
        # Idempotence would keep state that one lost batch spoils for good, and at-least-once is all that is promised.
        fixed: dict[str, Any] = {"acks": "all", "enable_idempotence": False, "allow_auto_create_topics": False}
        waits = {"request_timeout_ms": PATIENCE_MS // 2, "delivery_timeout_ms": PATIENCE_MS}
        try:
            self._producer: Any = KafkaProducer(
                **{**defaults, **waits, **client_options(settings, KafkaProducer, **fixed)}
            )
        except KafkaError as error:
            raise in_our_words(error, "connect", settings) from error

    def write(self, rejects: Iterable[Reject]) -> None:
        """Return when all are acknowledged."""
        try:
            sent = [(reject, self._send(reject)) for reject in rejects]
            too_large = [reject for reject, future in sent if future is None or _is_too_large(future)]
            for future in [self._send_head(reject) for reject in too_large]:
                future.get(timeout=PATIENCE_MS / 1000)
        except KafkaError as error:
            doing = f"take rejects into {self._settings.dead_letter_topic} (kafka.dead_letters)"
            raise in_our_words(error, doing, self._settings) from error

    def close(self) -> None:
        """Let go."""
        self._producer.close(timeout=1)

    def _send(self, reject: Reject) -> Any:
        """Return the pending acknowledgement, None where the record is too large even to be sent."""
        record = reject.record
        # What an earlier pass through here said of the record is no longer true.
        original = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
        try:
            return self._producer.send(
                self._settings.dead_letter_topic,
                # kafka-python sends no record without both: an empty value and the reason `empty` say the same.
                value=b"" if record.value is None and record.key is None else record.value,
                key=record.key,
                headers=[*original, *headers_of(reject, self._refused_by)],
            )
        except _TOO_LARGE:
            return None

    def _send_head(self, reject: Reject) -> Any:
        record = reject.record
        rest = sum(len(name) + len(value) for name, value in record.headers) + len(record.key or b"")
        original = [(n, v) for n, v in record.headers if not n.startswith(PREFIX)] if rest <= HEAD_BYTES else []
        return self._producer.send(
            self._settings.dead_letter_topic,
            value=(record.value or b"")[:HEAD_BYTES],
            key=record.key if rest <= HEAD_BYTES else None,
            headers=[*original, *headers_of(reject, self._refused_by, truncated=True)],
        )


def _is_too_large(future: Any) -> bool:
    """Wait for the acknowledgement; return whether the broker found the record too large."""
    try:
        future.get(timeout=PATIENCE_MS / 1000)
    except _TOO_LARGE:
        return True
    return False
