"""The observations of a chaos run: what a site shows at a step follows from both alone, and how it is sent from a seed.

In: a seed. Out: messages with observations: out of order within `windows.lateness`, some twice, some too late, some no
observations, one or several in a record, also of several sites; with holes, some too long to be filled. Knows neither
who sends them nor who reads them.
"""

import json
import random
from collections import defaultdict
from typing import Any

from tests.chaos.messages import Message
from tests.chaos.windows import BATCH, BEGIN_US, LENGTH, POISON, POISONED, SITES, STEP_US, TWICE

SPEC: dict[str, Any] = {
    "every": "1s",
    "tolerance": "200ms",
    "fill": "forward",
    "max_gap": "2s",
    "combine": "mean",
    "lateness": "4s",
}
TOLERANCE_US, LATENESS_US = 200_000, 4_000_000
BAD = "bad"
"""The key, which nobody reads, of a row that is no observation: its value is the reason that the letter must have."""
ALONE, BESIDE = 0.7, 0.1
"""How often an observation has a record of its own; else those of a site share one, and some one with other sites."""
WITHIN, TOO_LATE = 0.3, 0.01
"""How often one is held back for up to two steps, and for more than the lateness."""
HOLE, LONG_HOLE, MISSING, SECOND = 0.06, 0.15, 0.1, 0.1
PROBE_STEPS = 12
"""A window, and what closes it: it ends at step 5, and is closed by an observation 4.2 s later, at step 10."""

FATAL_STEPS = LENGTH + 6
"""A window that ends who embeds it, what comes until its end is closed by the last step but one, and one more."""

Row = dict[str, Any]


def rows_of(site: int, step: int) -> list[Row]:
    """Return what a site shows at a step: nothing, one observation or two, each near the grid point."""
    chance, run = random.Random(f"{site}/{step}"), random.Random(f"{site}:{step // 30}")
    if chance.random() < HOLE or (run.random() < LONG_HOLE and step % 30 < LENGTH):
        return []
    return [_row(site, step, chance) for _ in range(1 + (chance.random() < SECOND))]


def _row(site: int, step: int, chance: random.Random) -> Row:
    off_us = 0 if chance.random() < 0.7 else chance.randint(-TOLERANCE_US, TOLERANCE_US)
    row: Row = {
        "site": name_of(site),
        "event_timestamp": BEGIN_US + step * STEP_US + off_us,
        "flow": chance.gauss(0, 1),
    }
    if chance.random() >= MISSING:
        row["head"] = chance.gauss(0, 1)
    elif chance.random() < 0.5:
        row["head"] = None
    if chance.random() < 0.02:  # something was seen, and it was nothing
        row["flow"] = None
    return row


def bad_row(site: int, step: int, chance: random.Random) -> Row:
    """Return a row that is no observation."""
    row = {"site": name_of(site), "event_timestamp": BEGIN_US + step * STEP_US, "flow": 1.0}
    name, value, reason = chance.choice(
        [
            ("event_timestamp", "yesterday", "time"),
            ("event_timestamp", (BEGIN_US + step * STEP_US) // 1_000_000, "time"),
            ("event_timestamp", BEGIN_US + step * STEP_US + STEP_US // 2, "off-grid"),
            ("event_timestamp", BEGIN_US + step * STEP_US + 3600 * 24 * 3650 * STEP_US, "event-time"),
            ("site", None, "series"),
            ("flow", "high", "number"),
            ("flow", 1e300, "number"),
        ]
    )
    return {**row, name: value, BAD: reason}


def deadly_rows(name: str, value: float) -> list[Row]:
    """Return a window with a value in it, of a series of its own, and the observation that closes it."""
    steps = [*range(LENGTH), PROBE_STEPS]
    rows = [{"site": name, "event_timestamp": BEGIN_US + step * STEP_US, "flow": 1.0, "head": 1.0} for step in steps]
    rows[0]["flow"] = value
    return rows


def name_of(site: int) -> str:
    """Return the id of a site."""
    return f"s{site:03d}"


class Observed:
    """Observations, step by step of each site."""

    def __init__(self, seed: int) -> None:
        """Begin with step 0 of site 0."""
        self._rng, self._site, self._number = random.Random(seed), 0, 0
        self._steps = [0] * SITES
        self._held: dict[int, list[tuple[int, Row]]] = defaultdict(list)

    def batch(self, partitions: int) -> list[Message]:
        """Return a step of the next sites."""
        messages: list[Message] = []
        beside: dict[int, list[tuple[int, Row]]] = defaultdict(list)
        for _ in range(BATCH):
            site, self._site = self._site, (self._site + 1) % SITES
            step = self._steps[site]
            self._steps[site] += 1
            together: list[Row] = []
            for row in self._due(site, step):
                if self._rng.random() < BESIDE:
                    beside[site % partitions].append((site, row))
                elif self._rng.random() < ALONE:
                    messages.append(self._message(site, [row]))
                else:
                    together.append(row)
            if self._rng.random() < POISONED:
                messages.append(self._bad(site, step, together))
            elif together:
                messages.append(self._message(site, together))
        messages += [self._message(rows[0][0], [row for _, row in rows]) for rows in beside.values()]
        messages += [one for one in messages if one.number is not None and self._rng.random() < TWICE]
        self._rng.shuffle(messages)
        return messages

    def rest(self) -> list[Message]:
        """Return what is late."""
        return [self._message(site, [row]) for site, held in self._held.items() for _, row in held]

    def probe(self, partitions: int) -> tuple[list[Message], dict[str, int]]:
        """Return for every partition a record with so many steps of a site that a window is made of them."""
        messages, events = [], {}
        for partition in range(partitions):
            site = self._rng.choice(range(partition, SITES, partitions))
            first = self._steps[site]
            self._steps[site] += PROBE_STEPS
            steps = range(first, first + PROBE_STEPS)
            values = {"flow": self._rng.gauss(0, 1), "head": self._rng.gauss(0, 1)}
            rows = [{"site": name_of(site), "event_timestamp": BEGIN_US + n * STEP_US, **values} for n in steps]
            messages.append(self._message(site, rows))
            events[name_of(site)] = first + LENGTH - 1
        return messages, events

    def fatal(self, partitions: int, partition: int, value: float) -> list[Message]:
        """Return the next steps of a site, with a value in the last one of a window, and what closes it.

        Beside the closer another site is. What lies between comes before it or, with what was missing of the window
        and was filled, behind it: too late it is for nobody.
        """
        site, other = self._rng.sample(range(partition, SITES, partitions), 2)
        first = self._steps[site]
        self._steps[site] += FATAL_STEPS
        times = [BEGIN_US + (first + step) * STEP_US for step in range(FATAL_STEPS)]
        rows: list[Row] = [
            {"site": name_of(site), "event_timestamp": at, "flow": self._rng.gauss(0, 1), "head": 1.0} for at in times
        ]
        rows[LENGTH - 1]["flow"] = value
        others = rows_of(other, self._steps[other])
        self._steps[other] += 1
        window, between, closer, last = rows[:LENGTH], rows[LENGTH:-2], rows[-2], rows[-1]
        self._rng.shuffle(between)
        if self._rng.random() < 0.5:
            before, behind = [*self._rng.sample(window, LENGTH), *between], []
        else:
            missing = [row for step, row in enumerate(window) if step in {1, 2, 4} and self._rng.random() < 0.5]
            before, behind = [row for row in window if row not in missing], [*missing, *between]
        return [
            *(self._message(site, [row]) for row in before),
            self._message(site, [closer, *others]),
            *(self._message(site, [row]) for row in [*behind, last]),
        ]

    def _due(self, site: int, step: int) -> list[Row]:
        """Return what is sent of a site as it comes to a step, in no order; hold others back."""
        for row in rows_of(site, step):
            draw = self._rng.random()
            delay = self._rng.randint(8, 20) if draw < TOO_LATE else self._rng.randint(0, 2) if draw < WITHIN else 0
            self._held[site].append((step + delay, row))
        due = [row for at, row in self._held[site] if at <= step]
        self._held[site] = [one for one in self._held[site] if one[0] > step]
        self._rng.shuffle(due)
        return due

    def _bad(self, site: int, step: int, together: list[Row]) -> Message:
        """Return a record with good observations and one that is none, or one that is no JSON."""
        if together or self._rng.random() < 0.5:
            rows = [*together, bad_row(site, step, self._rng)]
            self._rng.shuffle(rows)
            return self._message(site, rows)
        return Message(site=site, key=name_of(site).encode(), value=POISON)

    def _message(self, site: int, rows: list[Row]) -> Message:
        self._number += 1
        value = rows[0] if len(rows) == 1 else rows
        return Message(site=site, key=name_of(site).encode(), value=json.dumps(value).encode(), number=self._number)
