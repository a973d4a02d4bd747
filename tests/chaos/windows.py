"""The windows of a chaos run: each follows from its number alone.

In: numbers. Out: windows. Knows neither who sends them nor who reads them.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.windows import WindowBatch

COLUMNS, LENGTH, SITES = ("flow", "head"), 6, 60
BEGIN_US, STEP_US = 1_767_225_600_000_000, 1_000_000
POISON = b"poison "
CORRECTS_EVERY = 7


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
