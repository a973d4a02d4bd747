"""A histogram of durations as an array of counts: easy to send, to add up and to take percentiles of.

In: seconds. Out: counts in fixed buckets, percentiles. Knows nothing of what is measured.
"""

import numpy as np
from numpy.typing import NDArray

EDGES_S = np.geomspace(1e-4, 1e3, 29 * 7 + 1)
"""Bucket borders from 0.1 ms to 1000 s, 29 to a decade: a percentile is right within 8 %."""


def empty() -> NDArray[np.int64]:
    """Return an empty histogram: (len(EDGES_S) + 1,) zeros."""
    return np.zeros(len(EDGES_S) + 1, np.int64)


def of(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the histogram of these (n,) observations."""
    return np.bincount(EDGES_S.searchsorted(seconds), minlength=len(EDGES_S) + 1)


def percentile(counts: NDArray[np.int64], share: float) -> float | None:
    """Return the upper border, in seconds, of the bucket that holds this share (0 to 1); None without observations."""
    total = int(counts.sum())
    if total == 0:
        return None
    bucket = int(np.searchsorted(np.cumsum(counts), share * total, side="left"))
    return float(EDGES_S[min(bucket, len(EDGES_S) - 1)])
