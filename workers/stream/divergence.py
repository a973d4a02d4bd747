"""Where the reading of a partition begins, also where the broker has lost what was read last.

In: chains, a source. Out: the position of each partition, chains that were turned back. Knows no vendor.

A broker that loses its last seconds (a power cut, an unclean election; KIP-320) keeps the topic's id and gives the lost
offsets to other records. The rule: at every assignment the last record that a chain was read up to is looked at again.

1. Is it there unchanged, or can that not be told, since retention or compaction has deleted it, or the part is of an
   earlier version: the reading goes on where the chain ends.
2. Is it gone, or is another record there: the reading goes back to the end of the last part whose last record is there
   unchanged; where there is none, to the beginning of what the broker holds. The chain gets a part without rows that
   says so (its `next` lies before its `first`) and goes on from there, so no record that the broker has is passed over.
3. Rows of the lost records stay in the history and online: they were true when they were read. Records that were not
   lost and lie behind the place gone back to are embedded again, which changes nothing. The event tells the span.
"""

from collections.abc import Callable, Iterable, Sequence

from undertow.schemas.records import Partition
from undertow.stream.checkpoint import KeepTrying
from undertow.stream.events import Tell, TurnedBack
from undertow.stream.marks import Mark, Place
from undertow.stream.ports import OfflineLog, Source


def find_places(
    partitions: Iterable[Partition], offline: OfflineLog, source: Source, *, keep_trying: KeepTrying, tell: Tell
) -> dict[Partition, Place | None]:
    """Return where each partition's reading goes on, None where no chain has begun.

    Raises what `OfflineLog.end` and `turn_back` do.
    """
    found: dict[Partition, Place | None] = {}
    for partition in sorted(partitions):
        end = keep_trying(lambda p=partition: offline.end(p))  # type: ignore[misc]  # mypy cannot infer its default
        found[partition] = None if end is None else keep_trying(lambda p=partition: next(iter(offline.places(p))))  # type: ignore[misc]
    marks = {
        partition: place.mark for partition, place in found.items() if place is not None and place.mark is not None
    }
    if not marks:
        return found
    verdicts = keep_trying(lambda: source.holds(marks))
    for partition in (partition for partition, verdict in verdicts.items() if verdict is False):
        ended, mark = found[partition], marks[partition]
        place = _last_agreed(partition, offline, source, keep_trying)
        keep_trying(lambda p=partition, to=place: offline.turn_back(p, to))  # type: ignore[misc]
        found[partition] = place
        if ended is not None:
            tell(TurnedBack(partition=partition, first=place.next, next=ended.next, last=mark))
    return found


def _last_agreed(partition: Partition, offline: OfflineLog, source: Source, keep_trying: KeepTrying) -> Place:
    """Return the end of the newest part whose last record the broker still holds, else where its log begins."""
    places = keep_trying(lambda: list(offline.places(partition)))

    def agrees(mark: Mark | None) -> bool:
        return mark is not None and keep_trying(lambda: source.holds({partition: mark}))[partition] is True

    at = newest(places, lambda place: agrees(place.mark))
    return places[at] if at is not None else Place(next=keep_trying(lambda: source.begins(partition)), mark=None)


def newest(places: Sequence[Place], agrees: Callable[[Place], bool]) -> int | None:
    """Return the index of the first place that agrees, the first of all being known not to; None where none does.

    Asks few times: what was lost lies at the end of a chain, so from some place on all agree.
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
