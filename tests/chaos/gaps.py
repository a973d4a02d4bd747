"""What chains tell of offsets that nobody has read, held against what was deleted.

In: parts, what retention deleted, what was deleted with a topic. Out: offsets. Knows no record.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from tests.chaos.places import Lane, Part


def where_gone(gone: Mapping[Lane, int], parts: Iterable[Part]) -> dict[Lane, int]:
    """Return where the chains of deleted topics end: not before where they had got when it was deleted."""
    ends = dict(gone)
    for part in parts:
        if part.lane in ends:
            ends[part.lane] = max(ends[part.lane], part.next)
    return ends


def count_broken(parts: Iterable[Part]) -> int:
    """Return how many parts do not begin where the one before them ends."""
    chains: dict[Lane, list[Part]] = defaultdict(list)
    for part in parts:
        chains[part.lane].append(part)
    broken = 0
    for chain in chains.values():
        chain.sort(key=lambda part: part.first)
        broken += sum(after.first != before.next for before, after in pairwise(chain))
    return broken


def lost_range(part: Part, deleted: Sequence[int], skipped: AbstractSet[int]) -> range | None:
    """Return which offsets of a part retention took: the last ones that it deleted there, as many as the part tells.

    Offsets that cannot be unpacked are told as well. None where no such range makes up what is told.
    """
    upto = max((one for one in deleted if part.first < one <= part.next), default=part.first)
    passed = {offset for offset in skipped if part.first <= offset < part.next}
    for first in range(upto, part.first - 1, -1):
        beside = sum(not first <= offset < upto for offset in passed)
        if upto - first + beside == part.lost:
            return range(first, upto)
    return None
