"""A topic of what is known ahead in Kafka: all of its partitions, from their beginning, again and again to their end.

In: settings, the topic's name. Out: its records. Joins no group and commits nothing: each replica reads all of it.
Knows no rows.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError, for_code

from undertow.adapters.kafka_client import client_options, require_native_crc, translate_error
from undertow.adapters.kafka_guard import TRIES, Guard, UnreadableAtError
from undertow.adapters.kafka_login import Login
from undertow.adapters.kafka_messages import record_of
from undertow.adapters.kafka_topic_id import topic_metadata
from undertow.core.errors import Unavailable, UndertowError
from undertow.schemas.records import Partition, Record, Reject
from undertow.settings.sections import KafkaSettings
from undertow.stream.known_ports import KnownPortion

ANSWER_MS = 10_000
CLOSE_MS = 2_000
POLL_MS = 500
POLL_RECORDS = 4_096
"""Decoding has a fixed cost, so few large portions; their bytes are bounded by `kafka.max_poll_bytes`. A choice."""
_UNKNOWN_TOPIC = 3


class KafkaKnown:
    """`KnownTopic`. Skips aborted transactions, and what cannot be read."""

    def __init__(self, settings: KafkaSettings, known_topic: str) -> None:
        """Connect. Raises `Refused`, `Unavailable`."""
        require_native_crc()
        self._settings, self._topic, self._login = settings, known_topic, Login()
        self._guard = Guard(max_unpacked_bytes=settings.max_unpacked_bytes, max_poll_bytes=settings.max_poll_bytes)
        self._id, self._positions = "", dict[TopicPartition, int]()
        self._is_lost = False
        self._consumer = self._connect()

    def read(self) -> Iterator[KnownPortion]:
        """Yield what has come since the last portion, up to the end as it is now."""
        doing = f"deliver {self._topic} (windows.known_topic)"
        try:
            yield from self._read()
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            self._is_lost = True
            message = f"{self._topic} (windows.known_topic) no longer has what was to be read next: it is read anew"
            raise Unavailable(message) from error
        except KafkaError as error:
            raise translate_error(self._login.refusal or error, doing, self._settings) from error

    def close(self) -> None:
        """Let go."""
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)

    def _read(self) -> Iterator[KnownPortion]:
        found_id, partitions = self._look()
        is_other, known = self._id not in {"", found_id}, set(self._positions)
        self._id = found_id
        self._is_lost |= is_other
        if is_other or (known and known != {*partitions}):
            self._start_over()  # what kafka-python has cached of a topic lacks new partitions, for minutes
        ends = self._offsets(self._consumer.end_offsets, partitions)
        if self._is_lost or any(at > ends.get(tp, 0) for tp, at in self._positions.items()):
            self._positions, self._is_lost = {}, False
            yield KnownPortion(is_anew=True)
        if new := [tp for tp in partitions if tp not in self._positions]:
            self._positions |= self._offsets(self._consumer.beginning_offsets, new)
            self._consumer.assign(partitions)
            self._go_back()
        moved_at = time.monotonic()
        while any(at < ends[tp] for tp, at in self._positions.items()):
            before = dict(self._positions)
            portion = self._poll()
            if self._positions != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > ANSWER_MS / 1000:
                if self._login.refusal is not None:
                    raise self._login.refusal
                message = f"Kafka at {self._settings.bootstrap} (kafka.bootstrap) does not deliver {self._topic}"
                raise Unavailable(message)
            if portion is not None:
                yield portion

    def _look(self) -> tuple[str, list[TopicPartition]]:
        """Ask for the topic's id and partitions."""
        consumer = self._consumer
        asked = consumer._manager.call_soon(topic_metadata, consumer, self._topic)  # noqa: SLF001 as in kafka_topic_id
        found = consumer._net.run(consumer._manager.wait_for, asked, ANSWER_MS)  # noqa: SLF001
        if found is None or found.error_code == _UNKNOWN_TOPIC:
            message = f'there is no topic "{self._topic}" (windows.known_topic) at {self._settings.bootstrap}'
            raise Unavailable(message)
        if found.error_code:
            raise for_code(found.error_code)(self._topic)
        return str(found.topic_id), [TopicPartition(self._topic, one.partition_index) for one in found.partitions]

    def _offsets(self, which: Callable[..., Any], partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            return dict(which(partitions, timeout_ms=ANSWER_MS))
        except KeyError as error:  # kafka-python leaves out partitions whose leader it does not know
            self._start_over()
            message = (
                f"Kafka at {self._settings.bootstrap} (kafka.bootstrap) does not say yet who leads {error.args[0]}"
            )
            raise Unavailable(message) from error

    def _poll(self) -> KnownPortion | None:
        """Return some records, if there are any, and move on."""
        self._guard.begin()
        try:
            batches = self._consumer.poll(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        except UnreadableAtError as error:
            self._start_over()
            if self._guard.failed(error) <= TRIES:  # from then on the guard skips it
                return None
            message = f"{self._topic} (windows.known_topic) cannot be read at offset {error.offset}: {error}"
            raise Unavailable(message) from error
        except (KafkaError, UndertowError):
            raise
        except Exception as error:  # kafka-python raises errors of any kind over what it cannot read
            self._start_over()
            message = f"{self._topic} (windows.known_topic) cannot be read: {type(error).__name__}: {error}"
            raise Unavailable(message) from error
        records: list[Record] = []
        skipped: list[Reject] = []
        for tp, since in list(self._positions.items()):
            messages = batches.get(tp, [])
            until = messages[-1].offset + 1 if messages else self._consumer.position(tp, timeout_ms=0)
            if until is None or until == since:
                continue
            partition, odd = Partition(tp.topic, tp.partition), self._guard.odd(tp)
            for message in messages:
                record = record_of(message, partition)
                if (fault := odd.get(message.offset)) is None:
                    records.append(record)
                else:
                    skipped.append(Reject(record=record, reason=fault[0], detail=fault[1]))
            skipped += [gap.reject for gap in self._guard.gaps(tp, partition, since=since, until=until)]
            self._guard.forget(tp, until=until)
            self._positions[tp] = until
        return KnownPortion(records=records, skipped=skipped) if records or skipped else None

    def _connect(self) -> Any:
        options = client_options(
            self._settings,
            KafkaConsumer,
            login=self._login,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # a deleted position must be reported: what was read before it may be gone, too
            check_crcs=True,
            allow_auto_create_topics=False,
            isolation_level="read_committed",
        )
        try:
            consumer = KafkaConsumer(**options)
        except KafkaError as error:
            raise translate_error(error, "connect", self._settings) from error
        self._guard.watch(consumer)
        return consumer

    def _start_over(self) -> None:
        """Replace the consumer: after a record that it cannot parse, kafka-python's loops for ever."""
        self.close()
        self._consumer = self._connect()
        self._consumer.assign(list(self._positions))
        self._go_back()

    def _go_back(self) -> None:
        """Go on after what was yielded last."""
        for tp, at in self._positions.items():
            self._consumer.seek(tp, at)
