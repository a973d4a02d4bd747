"""Stands between what a KafkaConsumer has fetched and its unpacking, which trusts whoever wrote it.

It also mends a fault of kafka-python 3.0.12: the records of a partition that was paused half read are brought back only
while none are in line, but the spent records of another partition stay in line. That partition then delivers nothing
more, and is not fetched again.

In: a consumer; where things could not be read before. Out: errors that name their place; what was skipped, and which
records are odd. Knows nothing of windows. The thread that polls owns it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.version import __version__ as installed

from undertow.adapters.kafka_batches import Plain, Skipped, UnreadableError, make_plain
from undertow.core.errors import Refused, UndertowError
from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.ports import Gap

TRIES = 3
"""So often something is fetched again before it is skipped: it may have been spoilt on its way here."""


class UnreadableAtError(Exception):
    """At this place something is that cannot be read, or not yet."""

    def __init__(self, tp: TopicPartition, offset: int, why: object) -> None:
        super().__init__(str(why) or type(why).__name__)
        self.tp, self.offset = tp, offset


class Guard:
    """Watches one consumer, and the one that replaces it."""

    def __init__(self, *, batch_bytes: int, poll_bytes: int) -> None:
        """Bounds of what compressed batches may become: of one, and of those that one poll unpacks."""
        self._batch_bytes, self._poll_bytes = batch_bytes, poll_bytes
        self._room = poll_bytes
        self._failures: dict[TopicPartition, Counter[int]] = {}
        self._skipped: dict[TopicPartition, dict[int, Skipped]] = {}
        self._odd: dict[TopicPartition, dict[int, tuple[str, str]]] = {}

    def watch(self, consumer: Any) -> None:
        """See all that this consumer fetches before it does. Raises `Refused` where kafka-python is built otherwise."""
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

        fetcher._parse_fetched_data = parse_plain  # noqa: SLF001 its public interface hands out nothing that is packed
        fetcher.fetched_records = fetched_records

    def begin(self) -> None:
        """Let the next poll unpack as much as one may."""
        self._room = self._poll_bytes

    def failed(self, error: UnreadableAtError) -> int:
        """Look more closely where something could not be read, and at last pass over it; return how often it failed."""
        failures = self._failures.setdefault(error.tp, Counter())
        failures[error.offset] += 1
        return failures[error.offset]

    def gaps(self, tp: TopicPartition, partition: Partition, *, since: int, until: int) -> list[Gap]:
        """Return what was skipped of offsets `since <= offset < until`."""
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
        """Return which offsets hold records that were mended to be readable at all: reason and detail of refusal."""
        return self._odd.get(tp, {})

    def forget(self, tp: TopicPartition, *, until: int) -> None:
        """Let go of what lies before an offset: it is delivered."""
        for kept in (self._failures, self._skipped, self._odd):
            if (of_partition := kept.get(tp)) is not None:
                for offset in [offset for offset in of_partition if offset < until]:
                    del of_partition[offset]

    def _plain(self, tp: TopicPartition, position: int, data: bytes) -> bytes | memoryview:
        failures = self._failures.get(tp, Counter())
        try:
            plain: Plain = make_plain(
                memoryview(data),
                position=position,
                batch_bytes=self._batch_bytes,
                room=self._room,
                careful=failures,
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
    """Yield the records of a fetch; say of whatever goes wrong where it did."""
    try:
        yield from records
    except UndertowError:
        raise
    except Exception as error:  # kafka-python raises assertions and errors of codecs, of struct, of any kind
        raise UnreadableAtError(tp, part.next_fetch_offset, error) from error
