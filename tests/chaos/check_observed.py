"""Compare both stores and the dead letters with what must come of the observations that the topic held.

In: the records of the topic, what the stores hold, what the fleet has told that it lacks. Out: `Verdict`. Knows neither
how it was read nor what went wrong meanwhile.

1. Records that a chain tells as lost, where retention had deleted them, and those behind the end of a deleted topic's
   chain, were seen by nobody: windows are cut from a frame of all others, lane by lane, since a site that moves to
   another partition, or to a topic made anew, begins there anew.
2. Where who took a lane over has told that the topic lacks what came since a snapshot (`not-warm`), windows from there
   on may be those of a frame without it. Nothing else may be missing or different.
3. Behind a record that is refused, since a window that it closes ends who embeds it, the series that it names begin
   anew: which record that is follows from the topic as well (`cut.py`).
"""

from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.check import ATOL, NEVER, NOTHING, Offline, Verdict, last_of_history
from tests.chaos.cut import ENDS, Cut, Cutter, Key, Story, bad_reasons, good_rows
from tests.chaos.gaps import count_broken, lost_range, where_gone
from tests.chaos.places import Lane, Part, Place
from tests.chaos.windows import POISON

Letter = tuple[Place, str]
"""Where a dead letter comes from, and its reason."""
ANY = ""
"""The reason of what a fault has planted: whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class NotWarm:
    """What somebody lacked who took a lane over."""

    lane: Lane
    first: int
    upto: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What the topic held, before anything of it was deleted."""

    records: Mapping[Place, bytes]
    numbers: Mapping[Place, int]
    planted: frozenset[Place] = frozenset()
    """Where a fault has put what must become a dead letter, and nothing else."""
    skipped: frozenset[Place] = frozenset()
    """What cannot be unpacked: its offsets are told as lost."""
    deleted: Mapping[Lane, Sequence[int]] = field(default_factory=dict)
    gone: Mapping[Lane, int] = field(default_factory=dict)
    not_warm: Sequence[NotWarm] = ()
    not_warm_wrong: int = 0
    """How often it was told where nothing was deleted."""


@dataclass(slots=True, kw_only=True)
class _Unseen:
    """The records that no chain has covered, and parts that tell of others than are missing."""

    places: set[Place] = field(default_factory=set)
    gone: set[Place] = field(default_factory=set)
    parts_wrong: int = 0


def check_observed(
    topic: Topic,
    cut: Cutter,
    *,
    sent: Iterable[int],
    offline: Offline,
    online: Mapping[str, np.ndarray],
    letters: Iterable[Letter],
    looks: int = 0,
    backwards: int = 0,
    versions: tuple[int, int] = (0, 0),
    readers_wrong: int = 0,
    backfill: Mapping[str, int] = NOTHING,
) -> Verdict:
    """Judge. `online` has one vector for each site; `backfill` is what was found of one, by the names of `Verdict`."""
    unseen = _find_unseen(topic, offline.parts)
    whole = _stories(topic, frozenset())
    base = _stories(topic, unseen.places)
    # Of lanes with records that nobody has kept, somebody may have seen these, and shown what came of them.
    perhaps = [lane for lane in base if len(base[lane]) < len(whole[lane])]
    without = [
        [one for one in base[told.lane] if not told.first <= one[0].offset < told.upto] for told in topic.not_warm
    ]
    made = cut([*base.values(), *(whole[lane] for lane in perhaps), *without])
    expected = {key: row for at in made.at[: len(base)] for key, row in at.items()}
    unkept = {
        key: row
        for at in made.at[len(base) : len(base) + len(perhaps)]
        for key, row in at.items()
        if key[0] in unseen.places
    }
    others = [*zip(topic.not_warm, range(len(base) + len(perhaps), len(made.at)), strict=True)]
    allowed: dict[Key, list[int]] = {key: [row] for key, row in expected.items()}
    excused: set[Key] = set()
    for told, number in others:
        for key, row in made.at[number].items():
            if key[0].offset >= told.upto and not _are_known(made, row, allowed.setdefault(key, [])):
                allowed[key].append(row)
        for key in made.at[[*base].index(told.lane)].keys() - made.at[number].keys():
            if key[0].offset >= told.upto:
                excused.add(key)
    rows = _keys(offline)
    there = Counter(rows)
    lost = expected.keys() - there.keys() - excused
    # Who was killed before its chain had them may have shown windows that its successor could not make.
    unkept |= {key: expected[key] for key in excused - there.keys()}
    wrong, otherwise = _count_wrong(made, rows, offline, allowed, expected)
    return Verdict(
        windows=len(expected),
        observations=sum(len(seen) for story in base.values() for _, seen in story),
        not_warm=otherwise + len(expected.keys() - there.keys() - lost),
        gaps=sum(part.lost > 0 for part in offline.parts),
        gap_offsets=sum(part.lost for part in offline.parts),
        unread=len(unseen.gone & topic.records.keys()),
        looks=looks,
        versions=versions[0],
        unsent=len(set(sent) - set(topic.numbers.values())),
        offline_lost=len(lost),
        offline_duplicated=sum(count - 1 for count in there.values()),
        versions_doubled=versions[1],
        readers_wrong=readers_wrong,
        offline_wrong=wrong,
        gaps_wrong=unseen.parts_wrong + topic.not_warm_wrong,
        chains_broken=count_broken(offline.parts),
        **_judge_online(made, offline, online, allowed, expected.keys() - excused, unkept),
        **backfill,
        online_backwards=backwards,
        **_judge_letters(topic, made, unseen.places, [*base], others, letters),
    )


def _find_unseen(topic: Topic, parts: Iterable[Part]) -> _Unseen:
    unseen = _Unseen()
    ends = where_gone(topic.gone, parts)
    places = {*topic.records, *topic.planted, *topic.skipped}
    unseen.gone = {place for place in places if place.lane in ends and place.offset >= ends[place.lane]}
    for part in parts:
        if part.lost:
            skipped = {place.offset for place in topic.skipped if place.lane == part.lane}
            found = lost_range(part, topic.deleted.get(part.lane, ()), skipped)
            unseen.parts_wrong += found is None
            unseen.places |= {Place(part.partition, offset, part.generation) for offset in found or ()}
    unseen.places |= unseen.gone
    return unseen


def _stories(topic: Topic, unseen: Iterable[Place]) -> dict[Lane, Story]:
    """Return the observations of each lane that were seen, record by record."""
    stories: dict[Lane, list[tuple[Place, list]]] = defaultdict(list)
    left_out = frozenset(unseen)
    for place in sorted(topic.records):
        story = stories[place.lane]
        if place not in left_out and not topic.records[place].startswith(POISON):
            story.append((place, good_rows(topic.records[place])))
    return {**stories}


def _keys(offline: Offline) -> list[Key]:
    columns = (offline.partitions, offline.offsets, offline.generations, offline.sites, offline.events)
    return [
        (Place(partition, offset, generation), site, event)
        for partition, offset, generation, site, event in zip(*(one.tolist() for one in columns), strict=True)
    ]


def _count_wrong(
    made: Cut, rows: Sequence[Key], offline: Offline, allowed: Mapping[Key, Sequence[int]], expected: Mapping[Key, int]
) -> tuple[int, int]:
    """Return how many rows are wrong, and how many are right only for who lacked something."""
    wrong = otherwise = 0
    for row, key in enumerate(rows):
        right = [
            one
            for one in allowed.get(key, ())
            if np.array_equal(offline.numbers[row], made.numbers[one])
            and _is_close(offline.vectors[row], made.vectors[one])
        ]
        wrong += not right
        otherwise += bool(right) and expected.get(key) not in right
    return wrong, otherwise


def _judge_online(
    made: Cut,
    offline: Offline,
    online: Mapping[str, np.ndarray],
    allowed: Mapping[Key, Sequence[int]],
    certain: AbstractSet[Key],
    unkept: Mapping[Key, int],
) -> dict[str, int]:
    """Expect the newest event of each site, of the last topic, unless one that was not kept is newer."""
    newest: dict[str, tuple[int, int]] = {}
    may: dict[str, list[tuple[tuple[int, int], int]]] = defaultdict(list)
    shown: dict[str, list[int]] = defaultdict(list)
    for key, rows in allowed.items():
        place, site, event = key
        may[site] += [((event, place.generation), row) for row in rows]
        if key in certain:
            newest[site] = max(newest.get(site, NEVER), (event, place.generation))
    for (place, site, event), row in unkept.items():
        shown[site].append(row)
        may[site].append(((event, place.generation), row))
    history = last_of_history(offline)
    wrong = unlike = 0
    for site, vector in online.items():
        least = newest.get(site, NEVER)
        wrong += not any(age >= least and _is_close(vector, made.vectors[row]) for age, row in may[site])
        is_unkept = any(_is_close(vector, made.vectors[row]) for row in shown[site])
        unlike += not (is_unkept or (site in history and _is_close(vector, history[site])))
    return {
        "online_lost": len(newest.keys() - online.keys()),
        "online_wrong": wrong,
        "online_not_history": unlike,
    }


def _judge_letters(
    topic: Topic,
    made: Cut,
    unseen: set[Place],
    lanes: Sequence[Lane],
    others: Sequence[tuple[NotWarm, int]],
    letters: Iterable[Letter],
) -> dict[str, int]:
    """Expect one of each record with something bad or late, or that ends who takes it: then for nothing else of it.

    Of unseen records there may be one.
    """
    reasons: dict[Place, set[str]] = defaultdict(set)
    for place, value in topic.records.items():
        reasons[place] |= {"not-json"} if value.startswith(POISON) else bad_reasons(value)
    for place in topic.planted:
        reasons[place].add(ANY)
    bad = {place: frozenset(why) for place, why in reasons.items()}
    must = certain = frozenset(place for place, why in bad.items() if why) - unseen
    own = dict(ChainMap(*(dict(made.letters[number]) for number, _ in enumerate(lanes))))
    for place, why in own.items():
        reasons[place] = {*why} if _is_refused(why) else {*bad[place], *why}
    must |= own.keys()
    for told, number in others:
        base, other = made.letters[lanes.index(told.lane)], made.letters[number]
        for place in base.keys() | other.keys():
            if place.offset >= told.upto and base.get(place) != other.get(place):
                reasons[place] |= bad[place] | other.get(place, frozenset())
                must -= {place} - certain
    for place in unseen:
        reasons[place] |= {"late"}.union(*(one.get(place, ()) for one in made.letters))
    found = {*letters}
    return {
        "rejects_expected": len(must),
        "late": sum("late" in why for why in own.values()),
        "begun_anew": sum(_is_refused(why) for why in own.values()),
        "rejects_lost": len(must - {place for place, _ in found}),
        "rejects_wrong": sum(not {reason, ANY} & reasons.get(place, set()) for place, reason in found),
    }


def _is_refused(why: AbstractSet[str]) -> bool:
    return not why.isdisjoint(ENDS.values())


def _are_known(made: Cut, row: int, others: Iterable[int]) -> bool:
    return any(np.array_equal(made.numbers[row], made.numbers[one]) for one in others)


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool((np.abs(found - expected) <= ATOL).all())
