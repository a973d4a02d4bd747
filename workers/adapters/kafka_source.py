"""Kafka as a source: partitions are assigned to it, it joins no consumer group.

In: settings and a decoder. Out: deliveries, whose receipts are the consumer's positions. Knows neither the content of
windows nor who assigns partitions. Not thread safe: the thread that polls owns it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from undertow.adapters.kafka_client import client_options, require_native_crc, translate_error
from undertow.adapters.kafka_commit_metadata import echo_note
from undertow.adapters.kafka_guard import TRIES, Guard, UnreadableAtError
from undertow.adapters.kafka_login import Login
from undertow.adapters.kafka_messages import mark_of_message, record_of
from undertow.adapters.kafka_places import ANSWER_MS, find_places, first_offset
from undertow.adapters.kafka_record_check import holds
from undertow.adapters.kafka_topic_id import SameTopic
from undertow.core.errors import Diverged, Refused, Unavailable, UndertowError
from undertow.schemas.decoded import Decode
from undertow.schemas.records import Partition, Record, Reject
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Delivery, Offsets
from undertow.stream.quarantine_order import PollScope, decode_in_scope
from undertow.stream.record_marks import Mark

CLOSE_MS = 2_000
FETCH_WAIT_MS = 50
"""kafka-python has one fetch in flight, without the partitions that still have buffered records: those then wait until
it returns, which with Kafka's default of 500 ms would stall a busy partition beside idle ones."""
ARROW_WINDOWS = 64.0
"""Expected windows in an Arrow record, until the first is decoded."""


class KafkaSource:
    """A `Source`. Skips aborted transactions; raises `Diverged` or `Refused` for a truncated or re-created topic."""

    def __init__(self, settings: KafkaSettings, decode: Decode, *, view: str = "", topic_id: str = "") -> None:
        """Offsets are committed for `view` and `topic_id`; committed ones that name others are ignored."""
        require_native_crc()
        self._view, self._topic_id, self._same = view, topic_id, SameTopic(settings, topic_id)
        self._settings, self._decode, self._login = settings, decode, Login()
        self._guard = Guard(max_unpacked_bytes=settings.max_unpacked_bytes, max_poll_bytes=settings.max_poll_bytes)
        self._consumer = self._connect()
        self._partitions: dict[TopicPartition, Partition] = {}
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self.silence: str | None = None
        self._reach: PollScope | None = None
        self._windows_in_record = ARROW_WINDOWS if settings.format == "arrow" else 1.0
        self._not_echoed: Any = None  # the error of the last commit that nobody waited for

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each."""
        new = {p: start for p, start in starts.items() if p not in self._positions}
        found, ends = self._place(new) if new else ({}, {})
        if new:
            self._same.require()
        positions = {p: self._positions[p] if p in self._positions else found[p] for p in starts}
        self._partitions = {TopicPartition(p.topic, p.index): p for p in starts}
        self._consumer.assign(list(self._partitions))
        for partition, position in found.items():
            self._consumer.seek(TopicPartition(partition.topic, partition.index), position)
        self._ends = {p: end for p, end in (self._ends | ends).items() if p in positions}
        self._positions = positions
        return dict(positions)

    def poll(self, timeout_s: float, scope: PollScope | None = None) -> Delivery | None:
        """Return new records, or None after `timeout_s`."""
        self._narrow(scope)
        batches, lost = self._fetch(timeout_s)
        self.silence = None if batches or not self._partitions else self._same.silence()
        records, odd, marks = self._records(batches)
        receipt = {self._partitions[tp]: messages[-1].offset + 1 for tp, messages in batches.items()}
        receipt |= {partition: self._positions[partition] + skipped for partition, skipped in lost.items()}
        if not receipt:
            receipt = self._moved_without_records()
        if not receipt:
            self._complain_of_login()
            return None
        try:
            decoded = decode_in_scope(scope, self._decode, records)
        except Unavailable:  # of the schema registry: the same records are delivered again once it answers
            self._go_back()
            raise
        if records:
            self._windows_in_record = max(1.0, len(decoded.windows) / len(records))
        gaps = []
        for partition, until in receipt.items():
            tp, since = TopicPartition(partition.topic, partition.index), self._positions[partition]
            gaps += self._guard.gaps(tp, partition, since=since, until=until)
            self._guard.forget(tp, until=until)
        self._positions.update(receipt)
        decoded = replace(decoded, rejects=(*decoded.rejects, *odd))
        records += [reject.record for reject in odd]
        return Delivery(records=records, decoded=decoded, receipt=receipt, lost=lost, gaps=gaps, marks=marks)

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Commit durable offsets to the broker, for lag tools; without `wait` the next call raises the error."""
        note = echo_note(self._view, self._topic_id)
        echo = {TopicPartition(p.topic, p.index): OffsetAndMetadata(offset, note, -1) for p, offset in offsets.items()}
        error, self._not_echoed = self._not_echoed, None
        try:
            if isinstance(error, KafkaError):
                raise error
            if wait:
                self._consumer.commit(echo, timeout_ms=ANSWER_MS)
            else:
                self._consumer.commit_async(echo, callback=self._echoed)
        except KafkaError as error:
            raise translate_error(error, "commit offsets", self._settings) from error

    def ask_again(self) -> Callable[[], None]:
        """Begin to check that all deliveries came from this topic; return the function that waits for the answer."""
        asked = self._same.ask()
        return lambda: self._same.require_answer(asked)

    def holds(self, marks: Mapping[Partition, Mark]) -> Mapping[Partition, bool | None]:
        """Return whether each record is unchanged in the broker, None where that cannot be determined."""
        return holds(self._settings, marks, self._same)

    def begins(self, partition: Partition) -> int:
        """Return the earliest offset of a partition."""
        return first_offset(self._consumer, self._settings, partition)

    def lag(self) -> Offsets:
        """Return the lag of each partition in offsets, as of the last fetch."""
        lag = {}
        for tp, partition in self._partitions.items():
            end = max(self._consumer.highwater(tp) or 0, self._ends[partition])
            lag[partition] = max(0, end - self._positions[partition])
        return lag

    def close(self) -> None:
        """Close without committing."""
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)

    def _echoed(self, _offsets: object, answer: object) -> None:
        """Keep the broker's answer for the next commit. Called in kafka-python's thread."""
        if isinstance(answer, Exception):
            self._not_echoed = answer

    def _narrow(self, scope: PollScope | None) -> None:
        """Pause the other partitions; the consumer keeps their buffered records."""
        if scope is None and self._reach is None:
            return
        only = self._partitions if scope is None else [tp for tp, p in self._partitions.items() if p in scope.only]
        self._consumer.pause(*self._partitions.keys() - set(only))
        self._consumer.resume(*only)
        self._reach = scope

    def _fetch(self, timeout_s: float) -> tuple[dict[TopicPartition, list[Any]], dict[Partition, int]]:
        """Return new messages, or the number of offsets that retention deleted. Raises `Refused`, `Unavailable`."""
        try:
            batches = self._gather(timeout_s)
        except OffsetOutOfRangeError:
            return {}, self._catch_up_with_retention()
        except LogTruncationError as error:
            self._same.require()
            raise Diverged(str(error)) from error
        except UnreadableAtError as error:
            if 1 < self._guard.failed(error) <= TRIES:  # the retry was reported the first time
                self._start_over()
                return {}, {}
            raise self._unreadable(error) from error
        except CorruptRecordError as error:
            raise self._unreadable(error) from error
        except KafkaError as error:
            raise translate_error(error, "deliver records", self._settings) from error
        except UndertowError:
            raise
        except Exception as error:
            # kafka-python raises errors of any kind over what it cannot read, and polled again it would loop for ever.
            raise self._unreadable(error) from error
        if batches and self._same.is_in_doubt():
            self._go_back()  # if the topic has not changed, read it again
            self._same.require_unbroken()
            return {}, {}
        return batches, {}

    def _records(
        self, batches: Mapping[TopicPartition, list[Any]]
    ) -> tuple[list[Record], list[Reject], dict[Partition, Mark]]:
        """Return the records, the rejects that the guard found, and the mark of each partition's last good record."""
        records, odd, marks = [], [], {}
        for tp, messages in batches.items():
            faults = self._guard.odd(tp)
            if (last := next((one for one in reversed(messages) if one.offset not in faults), None)) is not None:
                marks[self._partitions[tp]] = mark_of_message(last)
            for message in messages:
                record = record_of(message, self._partitions[tp])
                if message.offset in faults:
                    reason, detail = faults[message.offset]
                    odd.append(Reject(record=record, reason=reason, detail=detail))
                else:
                    records.append(record)
        return records, odd, marks

    def _gather(self, timeout_s: float) -> dict[TopicPartition, list[Any]]:
        """Return new messages; for less than a batch, wait up to `max_delay_ms` for more."""
        self._guard.begin()
        batch = max(1, int(self._settings.max_batch / self._windows_in_record))
        if self._reach is not None and self._reach.at_most is not None:
            batch = min(batch, self._reach.at_most)
        batches: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=timeout_s * 1000, max_records=batch)
        if not self._settings.max_delay_ms or not batches:
            return batches
        deadline = time.monotonic() + self._settings.max_delay_ms / 1000
        while (room := batch - sum(map(len, batches.values()))) > 0 and (left := deadline - time.monotonic()) > 0:
            try:
                more = self._consumer.poll(timeout_ms=left * 1000, max_records=room)
            except Exception:
                self._go_back()  # these messages were not delivered, so they must be read again
                raise
            for tp, messages in more.items():
                batches.setdefault(tp, []).extend(messages)
        return batches

    def _connect(self) -> Any:
        options = client_options(
            self._settings,
            KafkaConsumer,
            login=self._login,
            group_id=self._settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # a deleted position must be reported, not replaced silently
            check_crcs=True,
            allow_auto_create_topics=False,
            isolation_level="read_committed",
        )
        try:
            consumer = KafkaConsumer(**{"fetch_max_wait_ms": FETCH_WAIT_MS, **options})
        except KafkaError as error:
            raise translate_error(error, "connect", self._settings) from error
        self._guard.watch(consumer)
        self._same.watch(consumer)
        return consumer

    def _place(self, starts: Mapping[Partition, int | None]) -> tuple[dict[Partition, int], dict[Partition, int]]:
        return find_places(self._consumer, self._settings, starts, view=self._view, topic_id=self._topic_id)

    def _moved_without_records(self) -> dict[Partition, int]:
        """Return the positions that advanced past transaction markers and aborted records."""
        moved = {}
        for tp, partition in self._partitions.items():
            # Asking for a position costs kafka-python a walk over all partitions, so only where there was more to read.
            if (self._consumer.highwater(tp) or 0) > self._positions[partition]:
                position = self._consumer.position(tp, timeout_ms=0)  # no wait: where it was sought it has a value
                if position != self._positions[partition]:
                    moved[partition] = position
        return moved

    def _catch_up_with_retention(self) -> dict[Partition, int]:
        """Move positions that retention has deleted to the earliest record; return how many offsets were lost."""
        try:
            places, _ = self._place(self._positions)
        except Refused as error:  # a position lies beyond the end
            self._same.require()
            raise Diverged(str(error)) from error
        lost = {p: place - self._positions[p] for p, place in places.items() if place > self._positions[p]}
        for partition in lost:
            self._consumer.seek(TopicPartition(partition.topic, partition.index), places[partition])
        return lost

    def _unreadable(self, error: Exception) -> Unavailable:
        """Replace the consumer; return the error to raise."""
        self._start_over()
        if isinstance(error, UnreadableAtError):
            place = f"at offset {error.offset} of {self._partitions[error.tp]}"
            then = "it is fetched again, and skipped where that does not help"
        else:
            places = ", ".join(f"offset {offset} of {partition}" for partition, offset in self._positions.items())
            place = f"at or soon after {places}"
            then = "if it stays, delete the log up to behind it (kafka-delete-records.sh): that is counted as lost"
        return Unavailable(f"Kafka delivered what cannot be read, {place}: {type(error).__name__}: {error}; {then}")

    def _start_over(self) -> None:
        """Replace the consumer: after a record that it cannot parse, kafka-python's loops for ever."""
        self.close()
        self._consumer = self._connect()
        self._consumer.assign(list(self._partitions))
        self._go_back()

    def _go_back(self) -> None:
        """Seek back to the end of the last delivery."""
        for tp, partition in self._partitions.items():
            self._consumer.seek(tp, self._positions[partition])

    def _complain_of_login(self) -> None:
        """Raise `Unavailable` where logins are rejected: it would look as if no records came.

        Not `Refused`: passwords and certificates are renewed while fleets run, and kafka-python keeps retrying.
        """
        if (refusal := self._login.refusal) is not None:
            raise Unavailable(str(translate_error(refusal, "let us in again", self._settings)))
