"""The grid: which grid point a time belongs to.

In: times, microseconds since the epoch, UTC. Out: indices of grid points, and their times. Knows neither series nor
values.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.arrow_columns import Mask, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Grid points `origin_us + index * every_us`, for each integer index."""

    every_us: int
    origin_us: int = 0
    align: str = "nearest"
    """`nearest` or `until`, see `WindowSpec.align`."""
    tolerance_us: int = 0

    def place(self, times_us: Rows) -> tuple[Rows, Mask]:
        """Return (n,) the index of each time's grid point, and (n,) which times are near enough.

        Later times never have smaller indices, so times in order give indices in order.
        """
        since = times_us - self.origin_us
        if self.align == "until":  # (g - every, g]: rounded up
            return -(-since // self.every_us), np.ones(len(since), np.bool_)
        indices = -((self.every_us - 2 * since) // (2 * self.every_us))  # rounded, halves down: to the earlier
        return indices, np.abs(since - indices * self.every_us) <= self.tolerance_us

    def off_us(self, times_us: Rows) -> Rows:
        """Return (n,) how far times are from their grid points, in microseconds."""
        off: Rows = np.abs(times_us - self.times(self.place(times_us)[0]))
        return off

    def times(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the times of grid points, in the shape of `indices`."""
        return self.origin_us + indices * self.every_us
