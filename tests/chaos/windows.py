"""The windows of a chaos run: each follows from its number alone.

In: numbers, a seed. Out: windows, and messages with them. Knows neither who sends them nor who reads them.
"""

import random
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tests.chaos.messages import Message
from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows import WindowBatch

COLUMNS, LENGTH, SITES = ("flow", "head"), 6, 60
BEGIN_US, STEP_US = 1_767_225_600_000_000, 1_000_000
POISON = b"poison "
CORRECTS_EVERY = 7
BATCH, HELD_BACK, TWICE, POISONED = 20, 0.05, 0.05, 0.02


def is_correction(number: int) -> bool:
    """Whether the window corrects the one before it of its site: it has that one's event time and other values."""
    return number >= SITES and number % CORRECTS_EVERY == 0


def events_of(numbers: Iterable[int]) -> NDArray[np.int64]:
    """Return when the windows of these numbers end, in steps since the beginning."""
    return np.array([number - SITES if is_correction(number) else number for number in numbers], np.int64)


def windows_of(numbers: Iterable[int], prefix: str = "s") -> WindowBatch:
    """Return the windows of these numbers; sites come in turn, each later than the one before, or its correction."""
    wanted = list(numbers)
    values = [np.random.default_rng(number).normal(size=(LENGTH, len(COLUMNS))) for number in wanted]
    table = np.concatenate(values) if values else np.empty((0, len(COLUMNS)))
    return WindowBatch(
        series={"site": np.array([f"{prefix}{number % SITES:03d}" for number in wanted], object)},
        end_us=BEGIN_US + events_of(wanted) * STEP_US,
        lengths=np.full(len(wanted), LENGTH),
        past=dict(zip(COLUMNS, table.T, strict=True)),
        future={},
        static={},
    )


class Numbered:
    """Windows by number: some twice, some late, some corrected, and poison between them."""

    def __init__(self, seed: int) -> None:
        """Begin with window 0."""
        self._rng, self._next = random.Random(seed), 0
        self._late: list[int] = []

    def batch(self, partitions: int) -> list[Message]:
        """Return the next windows, without those that are held back."""
        del partitions
        numbers = self._take(BATCH)
        held = [n for n in numbers if self._rng.random() < HELD_BACK]
        now = [n for n in numbers if n not in held]
        now += [n for n in now if self._rng.random() < TWICE]
        poison = [n for n in now if self._rng.random() < POISONED]
        if len(self._late) > BATCH:
            now, self._late = now + self._late, []
        self._late += held
        return _messages(now) + [
            Message(site=n % SITES, key=str(n).encode(), value=POISON + str(n).encode()) for n in poison
        ]

    def rest(self) -> list[Message]:
        """Return the windows that are late."""
        return _messages(self._late)

    def probe(self, partitions: int) -> tuple[list[Message], dict[str, int]]:
        """Return a window for every partition."""
        newest = {n % SITES % partitions: n for n in self._take(SITES) if not is_correction(n)}
        return _messages([*newest.values()]), {f"s{n % SITES:03d}": int(events_of([n])[0]) for n in newest.values()}

    def _take(self, count: int) -> list[int]:
        self._next += count
        return list(range(self._next - count, self._next))


def _messages(numbers: list[int]) -> list[Message]:
    values = encode_json(windows_of(numbers))
    return [
        Message(site=n % SITES, key=str(n).encode(), value=value, number=n)
        for n, value in zip(numbers, values, strict=True)
    ]
