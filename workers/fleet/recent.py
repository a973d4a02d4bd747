"""The rate and latency of the last seconds, from cumulative counters.

In: a time, a count, a histogram. Out: a rate and the histogram of the last seconds. Knows nothing of what is counted.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

OVER_S, EVERY_S = 10.0, 0.5


class Recent:
    """The counters of the last seconds. One thread owns it."""

    def __init__(self) -> None:
        """Start without counters."""
        self._seen: deque[tuple[float, int, NDArray[np.int64]]] = deque()

    def see(self, now: float, count: int, latency: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
        """Return the count's rate per second and the observations over about the last `OVER_S`."""
        if not self._seen or now - self._seen[-1][0] >= EVERY_S:
            self._seen.append((now, count, latency))
        while len(self._seen) > 1 and self._seen[1][0] <= now - OVER_S:
            self._seen.popleft()
        began, before, observed = self._seen[0]
        return (count - before) / (now - began) if now > began else 0.0, latency - observed
