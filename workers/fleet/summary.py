"""The counters of a fleet, over living replicas and those that have ended.

In: the statuses of both. Out: the fleet's counts. Knows nothing of orders.
"""

from collections.abc import Sequence

from undertow.fleet.artifact_status import ArtifactStatus, by_artifact
from undertow.fleet.status import ReplicaStatus
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed


class Summary:
    """Keeps the counters of ended replicas, as one sum. The thread that ticks owns it."""

    def __init__(self) -> None:
        """Start with no replica ended."""
        self._gone = Counts()
        self._gone_artifacts: tuple[ArtifactStatus, ...] = ()
        self.left = Observed()
        """What replicas held of observations that have ended without successors."""

    def bury(self, replica: ReplicaStatus, *, is_last: bool = False) -> None:
        """Add the last status of a replica that has ended; `is_last` where nobody goes on with what it held."""
        if is_last:
            self.left += replica.observed
        self._gone = replica.counts + self._gone
        self._gone_artifacts = by_artifact([], [replica.artifacts, self._gone_artifacts])

    def counts(self, alive: Sequence[ReplicaStatus]) -> Counts:
        """Return the sum over all replicas."""
        return sum((one.counts for one in alive), Counts()) + self._gone

    def artifacts(self, alive: Sequence[ReplicaStatus]) -> tuple[ArtifactStatus, ...]:
        """Return each artifact's sum over all replicas."""
        return by_artifact((one.artifacts for one in alive), [self._gone_artifacts])
