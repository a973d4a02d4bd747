"""What must come of observations: windows, cut from one frame of them all, each with the record that closes it.

In: the records of each lane, in order, as they lie in the topic. Out: windows and vectors, and where something was too
late. The frame's driver, `undertow.windows`, is called once, over rows in no order; which record closes a cell is said
here once more, in a plain loop. Knows neither stores nor what went wrong.
"""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import undertow
from tests.chaos.observations import BAD, LATENESS_US, SPEC, TOLERANCE_US, Row
from tests.chaos.places import Place
from tests.chaos.windows import BEGIN_US, COLUMNS, STEP_US
from tests.seed.deadly import ASIDE, DEADLY, ENDLESS
from undertow.core.embedding import Embed
from undertow.observations.windowed import Windows
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch

CHUNK = 4096
ENDS = {DEADLY: "kills-replica", ENDLESS: "hangs"}
"""What ends who embeds it, and the reason of the record that is refused then; where it closes both, the first."""
NEVER = -(1 << 62)
Story = Sequence[tuple[Place, Sequence[Row]]]
"""What one replica after the other has seen of a lane: records in order, each with its good observations."""
Cutter = Callable[[Sequence[Story]], "Cut"]
Key = tuple[Place, str, int]
"""A row of history: the record that closed its window, its site, its event in steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What comes of some stories, in order."""

    at: Sequence[Mapping[Key, int]]
    """By story its windows, and where each stands in the arrays."""
    letters: Sequence[Mapping[Place, AbstractSet[str]]]
    """By story, the records that become dead letters for what came before them, or of them, and why each."""
    numbers: np.ndarray
    """(windows, steps times columns), to the bit."""
    vectors: np.ndarray
    """(windows, size); not finite where the model gives none."""


@dataclass(slots=True)
class _Closed:
    """One story, followed."""

    late: set[Place] = field(default_factory=set)
    taken: list[tuple[int, Row]] = field(default_factory=list)
    """Each with how often its site had begun anew before it."""
    ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By site, its newest time whenever it began anew: what was not closed by then never is."""
    levels: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By site, its newest time after each record that moved it, and in `places` that record."""
    places: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def newest(self, site: str) -> int:
        levels = self.levels.get(site)
        return levels[-1] if levels else NEVER

    def is_closed(self, time: int, row: Row) -> bool:
        """Whether a row's grid point was closed while it counted: before its site began anew once more."""
        ends = self.ends.get(row["site"], ())
        return due_us(row["event_timestamp"]) <= (ends[time] if time < len(ends) else self.newest(row["site"]))

    def closer(self, site: str, event: int) -> Place:
        return self.places[site][bisect_left(self.levels[site], due_us(BEGIN_US + event * STEP_US))]


def good_rows(value: bytes) -> list[Row]:
    """Return the observations of a record that are some."""
    found = json.loads(value)
    return [row for row in (found if isinstance(found, list) else [found]) if BAD not in row]


def bad_reasons(value: bytes) -> set[str]:
    """Return why the others are none."""
    found = json.loads(value)
    return {row[BAD] for row in (found if isinstance(found, list) else [found]) if BAD in row}


def due_us(time_us: int) -> int:
    """Return the newest time of its site from which on an observation of this time is too late."""
    point = -((STEP_US - 2 * (time_us - BEGIN_US)) // (2 * STEP_US))  # the nearest one, of two the earlier
    return BEGIN_US + point * STEP_US + TOLERANCE_US + LATENESS_US


def follow(story: Story, refused: Collection[Place] = ()) -> _Closed:
    """Say record by record what is late, and how far each site has come; of refused ones nothing is taken."""
    closed = _Closed()
    for place, rows in story:
        before = {row["site"]: closed.newest(row["site"]) for row in rows}
        if place in refused:
            for site, newest in before.items():
                closed.ends[site].append(newest)
            continue
        for row in rows:
            if due_us(row["event_timestamp"]) <= before[row["site"]]:
                closed.late.add(place)
            else:
                closed.taken.append((len(closed.ends.get(row["site"], ())), row))
        for site, newest in before.items():
            greatest = max(row["event_timestamp"] for row in rows if row["site"] == site)
            if greatest > newest:
                closed.levels[site].append(greatest)
                closed.places[site].append(place)
    return closed


def cut(stories: Sequence[Story], contract: InputContract | str, embed: Embed) -> Cut:
    """Cut the windows of all stories out of one frame, in which each site of each story is a series of its own.

    A site that has begun anew is one more.
    """
    refused = [find_refused(story, contract) for story in stories]
    followed = [follow(story, own) for story, own in zip(stories, refused, strict=True)]
    numbers, vectors = [], []
    windows = _windows(followed, contract)
    for batch in windows.batches(CHUNK):
        numbers.append(_numbers_of(batch))
        embedded = embed(batch)
        found = embedded.embeddings.features["embedding"]
        vectors.append(np.full((len(batch), *found.shape[1:]), np.nan, np.float32))
        vectors[-1][embedded.rows] = found
    at: list[dict[Key, int]] = [{} for _ in stories]
    letters: list[dict[Place, set[str]]] = [defaultdict(set) for _ in stories]
    for why, one, own in zip(letters, followed, refused, strict=True):
        for place in one.late:
            why[place].add("late")
        for place, reason in own.items():
            why[place].add(reason)
    joined = _joined(numbers)
    aside = (joined == ASIDE).any(axis=1)
    for row, (number, closer, site, event) in enumerate(_closers(windows, followed)):
        if aside[row]:
            letters[number][closer].add("tap")
        else:
            at[number][closer, site, event] = row
    return Cut(at=at, letters=letters, numbers=joined, vectors=_joined(vectors))


def find_refused(story: Story, contract: InputContract | str) -> dict[Place, str]:
    """Return the records of a story that are refused since a window that they close ends who embeds it, and why."""
    sites = {row["site"] for _, rows in story for row in rows if row["flow"] in ENDS}
    own = [(place, [row for row in rows if row["site"] in sites]) for place, rows in story]
    own = [(place, rows) for place, rows in own if rows]
    refused: dict[Place, str] = {}
    while sites:
        followed = follow(own, refused)
        windows = _windows([followed], contract)
        numbers = _joined([_numbers_of(batch) for batch in windows.batches(CHUNK)])
        closers = [closer for _, closer, _, _ in _closers(windows, [followed])]
        ending: dict[Place, str] = {}
        for value, reason in ENDS.items():
            for row in np.flatnonzero((numbers == value).any(axis=1)).tolist():
                ending.setdefault(closers[row], reason)
        if not ending:
            break
        first = min(ending)
        refused[first] = ending[first]
    return refused


def _windows(followed: Sequence[_Closed], contract: InputContract | str) -> Windows:
    """Cut what was taken and closed, in no order."""
    frame = pd.DataFrame(
        [
            {"flow": None, "head": None, **row, "site": f"{number}|{time}|{row['site']}"}
            for number, one in enumerate(followed)
            for time, row in one.taken
            if one.is_closed(time, row)
        ],
        columns=["site", "event_timestamp", *COLUMNS],
    ).astype(dict.fromkeys(COLUMNS, float))
    windows = undertow.windows(frame.sample(frac=1, random_state=1), contract, undertow.WindowSpec(**SPEC))
    assert not windows.faults, windows.faults[:3]
    return windows


def _closers(windows: Windows, followed: Sequence[_Closed]) -> Iterator[tuple[int, Place, str, int]]:
    """Yield of each window its story, the record that closes it, its site and its event."""
    events = ((windows.end_us - BEGIN_US) // STEP_US).tolist()
    for series, event in zip(windows.series["site"].tolist(), events, strict=True):
        number, _, site = series.split("|")
        yield int(number), followed[int(number)].closer(site, event), site, event


def _numbers_of(batch: WindowBatch) -> np.ndarray:
    steps = np.stack([batch.past[name] for name in COLUMNS], axis=1).astype(np.float32)
    return steps.reshape(len(batch), -1)


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    found = [*parts]
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)
