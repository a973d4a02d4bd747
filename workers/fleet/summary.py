"""The counters of a fleet, over living replicas and those that have ended.

In: the statuses of both. Out: the fleet's counts. Knows nothing of orders.
"""

from collections.abc import Sequence
from typing import Any

from undertow.fleet.artifact_status import ArtifactStatus, Progress, at_rest, by_artifact, together
from undertow.fleet.status import ReplicaStatus

COUNTS = ("records", "windows", "rejects", "last_reject", "ignored_columns", "lost", "retries", "latency")


class Summary:
    """Keeps the counters of ended replicas, as one sum. The thread that ticks owns it."""

    def __init__(self) -> None:
        """Start with no replica ended."""
        self._gone = Progress()
        self._gone_artifacts: tuple[ArtifactStatus, ...] = ()

    def bury(self, replica: ReplicaStatus) -> None:
        """Add the last status of a replica that has ended."""
        self._gone = at_rest(together([replica, self._gone]))
        self._gone_artifacts = by_artifact([], [replica.artifacts, self._gone_artifacts])

    def counts(self, alive: Sequence[ReplicaStatus]) -> dict[str, Any]:
        """Return the fields of `FleetStatus` that are sums."""
        whole = together([*alive, self._gone])
        artifacts = by_artifact((one.artifacts for one in alive), [self._gone_artifacts])
        return {"artifacts": artifacts, **{name: getattr(whole, name) for name in COUNTS}}
