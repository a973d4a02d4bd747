"""Find the start offset of each partition, detecting log truncation (KIP-320): records read that the broker has lost.

In: chains, a source. Out: the start offset of each partition; chains that were turned back. Knows no vendor.

A broker that loses its last seconds (a power cut, an unclean election) keeps the topic's id and gives the lost offsets
to other records. So at every assignment the last record that each chain covers is compared with the broker's.

1. It is unchanged, or that cannot be determined, since retention or compaction has deleted it, or an earlier version
   wrote the part: reading continues at the end of the chain.
2. It is gone, or another record has its offset: reading returns to the end of the newest part whose last record is
   unchanged; without one, to the earliest offset of the broker. The chain gets a part without rows that records this
   (its `next` is before its `first`) and continues from there, so no record that the broker has is skipped.
3. Rows of lost records stay in the history and online: they were valid when they were read. Records after the new
   start that were not lost are embedded again, which is idempotent. The event reports the range.
"""

from collections.abc import Callable, Iterable, Sequence

from undertow.schemas.records import Partition
from undertow.stream.checkpoint import RetryCall
from undertow.stream.events import Listener, TurnedBack
from undertow.stream.ports import OfflineLog, Source
from undertow.stream.record_marks import ChainEnd, Mark


def find_places(
    partitions: Iterable[Partition], offline: OfflineLog, source: Source, *, retry: RetryCall, tell: Listener
) -> dict[Partition, ChainEnd | None]:
    """Return the start offset of each partition, None where it has no chain.

    Raises what `OfflineLog.end` and `turn_back` do.
    """
    found: dict[Partition, ChainEnd | None] = {}
    for partition in sorted(partitions):
        end = retry(lambda p=partition: offline.end(p))  # type: ignore[misc]  # mypy cannot infer its default
        found[partition] = None if end is None else retry(lambda p=partition: next(iter(offline.places(p))))  # type: ignore[misc]
    marks = {
        partition: place.mark for partition, place in found.items() if place is not None and place.mark is not None
    }
    if not marks:
        return found
    verdicts = retry(lambda: source.holds(marks))
    for partition in (partition for partition, verdict in verdicts.items() if verdict is False):
        ended, mark = found[partition], marks[partition]
        place = _last_agreed(partition, offline, source, retry)
        retry(lambda p=partition, to=place: offline.turn_back(p, to))  # type: ignore[misc]
        found[partition] = place
        if ended is not None:
            tell(TurnedBack(partition=partition, first=place.next, next=ended.next, last=mark))
    return found


def _last_agreed(partition: Partition, offline: OfflineLog, source: Source, retry: RetryCall) -> ChainEnd:
    """Return the end of the newest part whose last record the broker still has, else the broker's earliest offset."""
    places = retry(lambda: list(offline.places(partition)))

    def agrees(mark: Mark | None) -> bool:
        return mark is not None and retry(lambda: source.holds({partition: mark}))[partition] is True

    at = newest(places, lambda place: agrees(place.mark))
    return places[at] if at is not None else ChainEnd(next=retry(lambda: source.begins(partition)), mark=None)


def newest(places: Sequence[ChainEnd], agrees: Callable[[ChainEnd], bool]) -> int | None:
    """Return the index of the newest place that agrees, `places[0]` being known not to; None where none does.

    A galloping search: lost records are at the end of a chain, so all places older than one that agrees do as well.
    """
    low, high = 0, 1
    while high < len(places) and not agrees(places[high]):
        low, high = high, min(2 * high, len(places) - 1) if high < len(places) - 1 else len(places)
    if high >= len(places):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if agrees(places[middle]) else (middle, high)
    return high
