"""The answer to a reader: vectors as arrays, each row with its time, or the reason why it has none.

In: arrays. Out: `Vectors`. Knows no store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """The newest vectors of n series, in the order in which they were asked for. All are of one space."""

    vectors: NDArray[np.float32]
    """(n, d) the features side by side, in the order of `columns`; a row without a vector is NaN."""
    found: NDArray[np.bool_]
    """(n,) whether the row has a vector."""
    too_old: NDArray[np.bool_]
    """(n,) whether there is a vector, but older than `max_age`, so that it is left out. What is neither `found` nor
    `too_old` is missing: nothing was ever written for that series, or it has expired."""
    event_time: NDArray[np.datetime64]
    """(n,) the end of the window that was embedded: microseconds, UTC. NaT where the series is missing."""
    age: NDArray[np.timedelta64]
    """(n,) how old that is: microseconds. NaT where the series is missing."""
    columns: Mapping[str, slice]
    """The columns of `vectors` that each feature has."""
    view: str
    """The name of the space's view, `<name>__<space8>`."""
    space: str
    """The full identity of the space. Vectors of two spaces cannot be compared."""
    ttl: timedelta | None
    """How old a vector may be in Feast's point-in-time joins; None for any age. As in Feast, it does not apply online:
    ask with `max_age`."""

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, feature: str) -> NDArray[np.float32]:
        """Return one feature, (n, its dimensions)."""
        if feature not in self.columns:
            message = f"no feature {feature!r} was asked for; there are: {', '.join(self.columns)}"
            raise KeyError(message)
        return self.vectors[:, self.columns[feature]]
