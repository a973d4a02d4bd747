"""Sanitize a KafkaConsumer's fetches before it parses them, since it trusts every producer.

It also works around a bug of kafka-python 3.0.12: the buffered records of a partition that was paused half read are
resumed only while no other are in line, but the used-up records of another partition stay in line. The partition then
delivers nothing more, and is not fetched again.

In: a consumer; the offsets that were unreadable before. Out: errors with their offset; skipped offsets, and odd
records. Knows nothing of windows. The thread that polls owns it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.version import __version__ as installed

from undertow.adapters.kafka_batches import ParsableBatches, Skipped, UnreadableError, make_plain
from undertow.core.errors import Refused, UndertowError
from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.ports import Gap

TRIES = 3
"""Attempts to fetch unreadable data before it is skipped: it may have been corrupted in transit."""


class UnreadableAtError(Exception):
    """The data at this offset cannot be read, at least not yet."""

    def __init__(self, tp: TopicPartition, offset: int, why: object) -> None:
        super().__init__(str(why) or type(why).__name__)
        self.tp, self.offset = tp, offset


class Guard:
    """Guards one consumer, and the ones that replace it."""

    def __init__(self, *, max_unpacked_bytes: int, max_poll_bytes: int) -> None:
        """Limits of decompressed bytes: of one batch, and of all batches of one poll."""
        self._max_unpacked_bytes, self._max_poll_bytes = max_unpacked_bytes, max_poll_bytes
        self._room = max_poll_bytes
        self._failures: dict[TopicPartition, Counter[int]] = {}
        self._skipped: dict[TopicPartition, dict[int, Skipped]] = {}
        self._odd: dict[TopicPartition, dict[int, tuple[str, str]]] = {}

    def watch(self, consumer: Any) -> None:
        """Intercept this consumer's fetches. Raises `Refused` where kafka-python's internals have changed."""
        fetcher = getattr(consumer, "_fetcher", None)
        parse: Callable[[Any], Any] | None = getattr(fetcher, "_parse_fetched_data", None)
        drain: Callable[..., Any] | None = getattr(fetcher, "fetched_records", None)
        if fetcher is None or parse is None or drain is None:
            message = (
                f"kafka-python {installed} unpacks what it fetched elsewhere than 3.0.12 does, so that nothing could "
                "bound it: pip install 'kafka-python==3.0.12'"
            )
            raise Refused(message)

        def parse_plain(fetch: Any) -> Any:
            tp, place = fetch.topic_partition, fetch.fetched_offset
            if fetch.partition_data.records:
                fetch.partition_data.records = self._plain(tp, place, fetch.partition_data.records)
            if (part := parse(fetch)) is not None:
                part.record_iterator = _with_place(part, part.record_iterator, tp)
            return part

        def fetched_records(*args: Any, **kwargs: Any) -> Any:
            if not fetcher._next_partition_records:  # noqa: SLF001
                fetcher._next_partition_records = None  # noqa: SLF001 see the module's docstring
            return drain(*args, **kwargs)

        fetcher._parse_fetched_data = parse_plain  # noqa: SLF001 its public interface hides compressed batches
        fetcher.fetched_records = fetched_records

    def begin(self) -> None:
        """Reset the limit for the next poll."""
        self._room = self._max_poll_bytes

    def failed(self, error: UnreadableAtError) -> int:
        """Check an unreadable batch more closely next time, at last skip it; return how often it failed."""
        failures = self._failures.setdefault(error.tp, Counter())
        failures[error.offset] += 1
        return failures[error.offset]

    def gaps(self, tp: TopicPartition, partition: Partition, *, since: int, until: int) -> list[Gap]:
        """Return the gaps among the offsets `since <= offset < until`."""
        return [
            Gap(
                next=one.next,
                reject=Reject(
                    record=Record(
                        partition=partition, offset=one.first, appended_us=one.appended_ms * 1000, value=one.value
                    ),
                    reason=one.reason,
                    detail=f"offsets {one.first} to {one.next - 1} are skipped: {one.detail}",
                ),
            )
            for first, one in sorted(self._skipped.get(tp, {}).items())
            if since <= first < until
        ]

    def odd(self, tp: TopicPartition) -> Mapping[int, tuple[str, str]]:
        """Return by offset the records that had to be repaired to be readable: reason and detail of their reject."""
        return self._odd.get(tp, {})

    def forget(self, tp: TopicPartition, *, until: int) -> None:
        """Forget what was noted before an offset, which is delivered."""
        for kept in (self._failures, self._skipped, self._odd):
            if (of_partition := kept.get(tp)) is not None:
                for offset in [offset for offset in of_partition if offset < until]:
                    del of_partition[offset]

    def _plain(self, tp: TopicPartition, position: int, data: bytes) -> bytes | memoryview:
        failures = self._failures.get(tp, Counter())
        try:
            plain: ParsableBatches = make_plain(
                memoryview(data),
                position=position,
                max_unpacked_bytes=self._max_unpacked_bytes,
                room=self._room,
                suspect=failures,
                given_up=[offset for offset, times in failures.items() if times >= TRIES],
            )
        except UnreadableError as error:
            raise UnreadableAtError(tp, error.offset, error) from error
        self._room -= plain.unpacked
        if plain.skipped:
            self._skipped.setdefault(tp, {}).update({one.first: one for one in plain.skipped})
        if plain.odd:
            self._odd.setdefault(tp, {}).update(plain.odd)
        return plain.data


def _with_place(part: Any, records: Iterator[Any], tp: TopicPartition) -> Iterator[Any]:
    """Yield the records of a fetch; raise errors with the offset where they occurred."""
    try:
        yield from records
    except UndertowError:
        raise
    except Exception as error:  # kafka-python raises assertions and errors of codecs, of struct, of any kind
        raise UnreadableAtError(tp, part.next_fetch_offset, error) from error
