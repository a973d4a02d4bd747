"""The windows of a chaos run: each follows from its number alone.

In: numbers. Out: windows. Knows neither who sends them nor who reads them.
"""

from collections.abc import Iterable

import numpy as np

from schemas.windows import WindowBatch

COLUMNS, LENGTH, SITES = ("flow", "head"), 6, 60
BEGIN_US, STEP_US = 1_767_225_600_000_000, 1_000_000
POISON = b"poison "


def windows_of(numbers: Iterable[int], prefix: str = "s") -> WindowBatch:
    """Return the windows of these numbers; sites come in turn, each window later than the one before."""
    wanted = list(numbers)
    values = [np.random.default_rng(number).normal(size=(LENGTH, len(COLUMNS))) for number in wanted]
    table = np.concatenate(values) if values else np.empty((0, len(COLUMNS)))
    return WindowBatch(
        series={"site": np.array([f"{prefix}{number % SITES:03d}" for number in wanted], object)},
        end_us=BEGIN_US + np.array(wanted, np.int64) * STEP_US,
        lengths=np.full(len(wanted), LENGTH),
        past=dict(zip(COLUMNS, table.T, strict=True)),
        future={},
        static={},
    )
