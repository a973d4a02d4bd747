"""The lag of a fleet that has ended: the last known one of each partition, since no replica is left to ask.

In: the statuses of one fleet. Out: its last one, with the newest lag of each partition. Knows no Ray.
"""

from collections import defaultdict
from dataclasses import replace

from undertow.fleet.status import FleetStatus
from undertow.schemas.records import Partition


class LastKnownLag:
    """Remembers the lag of each partition while replicas read it. One thread owns it."""

    def __init__(self) -> None:
        """Start without a lag."""
        self._lags: defaultdict[str, dict[Partition, int]] = defaultdict(dict)

    def see(self, status: FleetStatus) -> None:
        """Remember the lags of this status."""
        for one in status.artifacts:
            self._lags[one.artifact].update(one.lag)

    def fill(self, status: FleetStatus) -> FleetStatus:
        """Return the status with the last known lags."""
        return replace(status, artifacts=tuple(replace(one, lag=self._lags[one.artifact]) for one in status.artifacts))
