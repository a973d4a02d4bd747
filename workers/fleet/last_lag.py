"""How far behind a fleet was when it ended: replicas that are gone read nothing, so nobody can be asked any more.

In: the statuses of one fleet. Out: its last one, with the newest lag of each partition. Knows no Ray.
"""

from collections import defaultdict
from dataclasses import replace

from undertow.fleet.status import FleetStatus
from undertow.schemas.records import Partition


class LastLag:
    """Remembers the lag of each partition while replicas read it. One thread owns it."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._lags: defaultdict[str, dict[Partition, int]] = defaultdict(dict)

    def see(self, status: FleetStatus) -> None:
        """Take in what is known now."""
        for one in status.artifacts:
            self._lags[one.artifact].update(one.lag)

    def fill(self, status: FleetStatus) -> FleetStatus:
        """Return it with the lag that was known last."""
        return replace(status, artifacts=tuple(replace(one, lag=self._lags[one.artifact]) for one in status.artifacts))
