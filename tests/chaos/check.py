"""Compare both stores and the dead letters with a reference that no fleet has touched.

In: what the topic held, what the stores hold, one vector for each number. Out: `Verdict`. Knows neither how it was
read nor what went wrong meanwhile.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from tests.chaos.gaps import count_broken, where_gone
from tests.chaos.places import Lane, Part, Place

ATOL = 1e-6
NEVER = (-1, -1)
"""Before any event and generation."""
NOTHING: Mapping[str, int] = MappingProxyType({})
TOLD = frozenset({"windows", "observations", "late", "not_warm", "rejects_expected", "gaps", "gap_offsets", "unread"})
TOLD |= {"looks", "versions", "backfilled", "begun_anew"}
"""What a verdict counts that is nothing amiss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the topic held, before anything of it was deleted."""

    windows: Mapping[Place, int]
    """The number of the window at each place; a number sent twice has two."""
    poison: frozenset[Place]
    deleted: Mapping[Lane, Sequence[int]]
    """Below which offsets everything was deleted at some time."""
    gone: Mapping[Lane, int] = field(default_factory=dict)
    """Of topics that were deleted whole: how far each chain had got before. What lies behind is nobody's loss."""
    skipped: frozenset[Place] = frozenset()
    """What cannot be unpacked: its offsets are told as lost, and a dead letter stands at the first of them."""
    vectors: np.ndarray
    """(numbers, size): by the number, computed directly."""
    sites: np.ndarray
    """(numbers,): the site of each number."""
    events: np.ndarray
    """(numbers,): its event time; a correction has that of the window which it corrects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """The rows of the history, table and tail, and its parts. Arrays are (rows,), vectors (rows, size)."""

    sites: np.ndarray
    events: np.ndarray
    created: np.ndarray
    """Of rows of one site and event the one with the greatest counts."""
    partitions: np.ndarray
    offsets: np.ndarray
    generations: np.ndarray
    vectors: np.ndarray
    parts: Sequence[Part]
    numbers: np.ndarray | None = None
    """(rows, steps times columns): what the model was given, where the rows say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is amiss: all counts are 0 where nothing is, but for those that `TOLD` names."""

    windows: int
    observations: int = 0
    """Of which windows were made, where records hold observations; late ones count."""
    late: int = 0
    """Records with an observation that was too late."""
    begun_anew: int = 0
    """Records that were refused since a value of a living series ended who took them: behind them it begins anew."""
    not_warm: int = 0
    """Windows that are missing or of fewer observations, since who took over told that the topic lacks some."""
    rejects_expected: int = 0
    gaps: int = 0
    """Parts that say that retention had overtaken them, or that something was passed over."""
    gap_offsets: int = 0
    unread: int = 0
    """Windows that went with a topic that was deleted, behind the end of its chains."""
    looks: int = 0
    """How often readers looked at every site meanwhile."""
    versions: int = 0
    """How many versions of the table of history there were."""
    backfilled: int = 0
    """Windows that a backfill beside the stream has embedded."""
    unsent: int = 0
    """Acknowledged to the producer, but not in the topic."""
    offline_lost: int = 0
    """Neither in the log nor in a gap that it tells of, nor unread when its topic was deleted."""
    offline_duplicated: int = 0
    """Twice in the table, twice in the parts behind it, or in both."""
    versions_doubled: int = 0
    """Versions of the table that had a row twice, the newest or earlier ones."""
    offline_wrong: int = 0
    """Another vector or site than the reference's, or a row that no record gave rise to."""
    readers_wrong: int = 0
    """How often a reader got rows of a version that was vacuumed that were not that version's, and no error."""
    backfill_lost: int = 0
    backfill_duplicated: int = 0
    backfill_wrong: int = 0
    """Backfilled rows with another vector, site or event time than the reference's, or of no chunk."""
    gaps_wrong: int = 0
    """Parts that tell of more or fewer offsets than are missing there, or of any where nothing was deleted."""
    chains_broken: int = 0
    """Parts that do not begin where the one before them ends."""
    online_lost: int = 0
    online_wrong: int = 0
    """Another vector than that of a site's newest event, of which the window delivered last counts."""
    online_not_history: int = 0
    """Another vector than the last of the site's rows in the log."""
    online_backwards: int = 0
    """How often a reader saw a site's event time go backwards."""
    rejects_lost: int = 0
    rejects_wrong: int = 0

    @property
    def is_clean(self) -> bool:
        return not any(getattr(self, name) for name in self.__slots__ if name not in TOLD)

    @property
    def lost(self) -> int:
        names = ("unsent", "offline_lost", "backfill_lost", "online_lost", "rejects_lost", "chains_broken")
        return sum(getattr(self, name) for name in names)

    @property
    def doubled(self) -> int:
        return self.offline_duplicated + self.backfill_duplicated

    @property
    def wrong(self) -> int:
        names = (
            "offline_wrong",
            "backfill_wrong",
            "versions_doubled",
            "readers_wrong",
            "gaps_wrong",
            "online_wrong",
            "online_not_history",
            "online_backwards",
            "rejects_wrong",
        )
        return sum(getattr(self, name) for name in names)


def check(
    truth: Truth,
    *,
    sent: Iterable[int],
    offline: Offline,
    online: Mapping[str, np.ndarray],
    rejects: Iterable[Place],
    looks: int = 0,
    backwards: int = 0,
    versions: tuple[int, int] = (0, 0),
    readers_wrong: int = 0,
    backfill: Mapping[str, int] = NOTHING,
) -> Verdict:
    """Judge. `online` has one vector for each site; `versions` says how many there were, and were doubled.

    `backfill` is what was found of one, by the names of `Verdict`.
    """
    rows = Counter(_places(offline))
    rejected = set(rejects)
    missing = truth.windows.keys() - rows.keys()
    unrejected = truth.poison - rejected
    gaps = [part for part in offline.parts if part.lost]
    ends = where_gone(truth.gone, offline.parts)
    unread = {place for place in missing | unrejected if _is_behind(place, ends)}
    excused = unread | {place for place in missing | unrejected if _is_in_gap(place, gaps, truth.deleted)}
    numbers = set(truth.windows.values())
    return Verdict(
        windows=len(truth.windows),
        rejects_expected=len(truth.poison),
        gaps=len(gaps),
        gap_offsets=sum(part.lost for part in gaps),
        unread=len(unread & missing),
        looks=looks,
        versions=versions[0],
        unsent=len(set(sent) - numbers),
        offline_lost=len(missing - excused),
        offline_duplicated=sum(count - 1 for count in rows.values()),
        versions_doubled=versions[1],
        readers_wrong=readers_wrong,
        offline_wrong=_count_wrong(truth, offline),
        gaps_wrong=sum(not _is_told(part, truth, rejected, excused) for part in gaps),
        chains_broken=count_broken(offline.parts),
        **_judge_online(truth, offline, online, excused),
        **backfill,
        online_backwards=backwards,
        rejects_lost=len(unrejected - excused),
        rejects_wrong=len(rejected - truth.poison),
    )


def _places(offline: Offline) -> list[Place]:
    columns = (offline.partitions.tolist(), offline.offsets.tolist(), offline.generations.tolist())
    return [Place(*each) for each in zip(*columns, strict=True)]


def _is_behind(place: Place, ends: Mapping[Lane, int]) -> bool:
    """Whether a place lies behind the end of the chain of a topic that was deleted."""
    return place.lane in ends and place.offset >= ends[place.lane]


def _count_wrong(truth: Truth, offline: Offline) -> int:
    expected = np.array([truth.windows.get(place, -1) for place in _places(offline)], np.int64)
    right = expected >= 0
    known = np.where(right, expected, 0)
    right &= (offline.sites == truth.sites[known]) & (offline.events == truth.events[known])
    if offline.vectors.shape[1:] != truth.vectors.shape[1:]:
        return len(right)
    right &= (np.abs(offline.vectors - truth.vectors[known]) <= ATOL).all(axis=1)
    return int((~right).sum())


def _judge_online(
    truth: Truth, offline: Offline, online: Mapping[str, np.ndarray], excused: set[Place]
) -> dict[str, int]:
    """Expect the newest event of each site, and of its windows the one that was delivered last.

    That is the one of the last generation, which is read last, and there the one that lies last in its partition. A
    site moves when partitions are added: then one of either partition may have been delivered last. A window in a gap,
    or of a topic that was deleted, may have been shown before its chain had it.
    """
    last: dict[str, dict[Lane, tuple[tuple[int, int], int, int]]] = defaultdict(dict)
    for place, number in truth.windows.items():
        if place not in excused:
            age, of_site = (int(truth.events[number]), place.generation), last[truth.sites[number]]
            of_site[place.lane] = max(of_site.get(place.lane, (NEVER, -1, -1)), (age, place.offset, number))
    newest = {site: max(age for age, _, _ in found.values()) for site, found in last.items()}
    allowed = {site: [n for age, _, n in found.values() if age == newest[site]] for site, found in last.items()}
    shown: dict[str, list[int]] = defaultdict(list)
    for place in excused & truth.windows.keys():
        number = truth.windows[place]
        if (truth.events[number], place.generation) >= newest.get(truth.sites[number], NEVER):
            shown[truth.sites[number]].append(number)
    history = last_of_history(offline)
    wrong = unlike = 0
    for site, vector in online.items():
        is_excused = any(_is_close(vector, truth.vectors[number]) for number in shown[site])
        is_allowed = any(_is_close(vector, truth.vectors[number]) for number in allowed.get(site, []))
        wrong += not (is_allowed or is_excused)
        unlike += not (is_excused or (site in history and _is_close(vector, history[site])))
    return {
        "online_lost": len(newest.keys() - online.keys()),
        "online_wrong": wrong,
        "online_not_history": unlike,
    }


def last_of_history(offline: Offline) -> dict[str, np.ndarray]:
    """Return the vector of each site's newest event, and of its rows the last."""
    order = np.lexsort([offline.created, offline.events])
    return {site: offline.vectors[row] for row, site in zip(order, offline.sites[order], strict=True)}


def _is_in_gap(place: Place, gaps: Sequence[Part], deleted: Mapping[Lane, Sequence[int]]) -> bool:
    """Whether a part that tells of a gap spans the place, and it was deleted."""
    return any(
        part.lane == place.lane
        and part.first <= place.offset < part.next
        and any(_overtook(part, deleted, place.offset))
        for part in gaps
    )


def _overtook(part: Part, deleted: Mapping[Lane, Sequence[int]], offset: int) -> Iterable[bool]:
    """Yield whether what was deleted covers the offset and begins or ends within the part."""
    return (max(offset, part.first) < upto <= part.next for upto in deleted.get(part.lane, ()))


def _is_told(part: Part, truth: Truth, rejected: set[Place], excused: set[Place]) -> bool:
    """Whether a part tells of as many offsets as are missing there; poison may have been put away before."""
    span = [Place(part.partition, offset, part.generation) for offset in range(part.first, part.next)]
    gone = sum(place in excused for place in span)
    upto = max((one for one in truth.deleted.get(part.lane, ()) if one <= part.next), default=part.first)
    put_away = sum(place in truth.poison and place in rejected and place.offset < upto for place in span)
    passed = sum(place in truth.skipped - excused for place in span)
    return gone + sum(place in truth.skipped - excused and place.offset >= upto for place in span) <= part.lost and (
        part.lost <= gone + put_away + passed
    )


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=0, atol=ATOL))
