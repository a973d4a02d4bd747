"""What must come of observations: windows, cut from one frame of them all, each with the record that closes it.

In: the records of each lane, in order, as they lie in the topic. Out: windows and vectors, and where something was too
late. The frame's driver, `undertow.windows`, is called once, over rows in no order; which record closes a cell is said
here once more, in a plain loop. Knows neither stores nor what went wrong.
"""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import undertow
from tests.chaos.observations import BAD, LATENESS_US, SPEC, TOLERANCE_US, Row
from tests.chaos.places import Place
from tests.chaos.windows import BEGIN_US, COLUMNS, STEP_US
from undertow.core.embedding import Embed
from undertow.schemas.contract import InputContract

CHUNK = 4096
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
    late: Sequence[frozenset[Place]]
    """By story, the records with an observation that came too late."""
    numbers: np.ndarray
    """(windows, steps times columns), to the bit."""
    vectors: np.ndarray
    """(windows, size)."""


@dataclass(slots=True)
class _Closed:
    """One story, followed."""

    late: set[Place] = field(default_factory=set)
    taken: list[Row] = field(default_factory=list)
    levels: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By site, its newest time after each record that moved it, and in `places` that record."""
    places: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def newest(self, site: str) -> int:
        levels = self.levels.get(site)
        return levels[-1] if levels else NEVER

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


def follow(story: Story) -> _Closed:
    """Say record by record what is late, and how far each site has come."""
    closed = _Closed()
    for place, rows in story:
        before = {row["site"]: closed.newest(row["site"]) for row in rows}
        for row in rows:
            if due_us(row["event_timestamp"]) <= before[row["site"]]:
                closed.late.add(place)
            else:
                closed.taken.append(row)
        for site, newest in before.items():
            greatest = max(row["event_timestamp"] for row in rows if row["site"] == site)
            if greatest > newest:
                closed.levels[site].append(greatest)
                closed.places[site].append(place)
    return closed


def cut(stories: Sequence[Story], contract: InputContract | str, embed: Embed) -> Cut:
    """Cut the windows of all stories out of one frame, in which each site of each story is a series of its own."""
    followed = [follow(story) for story in stories]
    frame = pd.DataFrame(
        [
            {"flow": None, "head": None, **row, "site": f"{number}|{row['site']}"}
            for number, one in enumerate(followed)
            for row in one.taken
            if due_us(row["event_timestamp"]) <= one.newest(row["site"])
        ],
        columns=["site", "event_timestamp", *COLUMNS],
    ).astype(dict.fromkeys(COLUMNS, float))
    windows = undertow.windows(frame.sample(frac=1, random_state=1), contract, undertow.WindowSpec(**SPEC))
    assert not windows.faults, windows.faults[:3]
    numbers, vectors = [], []
    for batch in windows.batches(CHUNK):
        steps = np.stack([batch.past[name] for name in COLUMNS], axis=1).astype(np.float32)
        numbers.append(steps.reshape(len(batch), -1))
        vectors.append(embed(batch).embeddings.features["embedding"])
    at: list[dict[Key, int]] = [{} for _ in stories]
    events = ((windows.end_us - BEGIN_US) // STEP_US).tolist()
    for row, (series, event) in enumerate(zip(windows.series["site"].tolist(), events, strict=True)):
        number, _, site = series.partition("|")
        at[int(number)][followed[int(number)].closer(site, event), site, event] = row
    return Cut(
        at=at,
        late=[frozenset(one.late) for one in followed],
        numbers=_joined(numbers),
        vectors=_joined(vectors),
    )


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    found = [*parts]
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)
