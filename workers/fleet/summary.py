"""What a fleet has done, over the replicas that live and those that are gone.

In: the statuses of both. Out: the fleet's counts. Knows nothing of orders.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workers.core import histogram
from workers.fleet.artifact_status import by_artifact
from workers.fleet.status import ReplicaStatus


class Summary:
    """Keeps what the gone have done. The thread that ticks owns it."""

    def __init__(self) -> None:
        """Nobody is gone yet."""
        self._gone: list[ReplicaStatus] = []

    def bury(self, replica: ReplicaStatus) -> None:
        """Take in the last status of one that has ended."""
        self._gone.append(replica)

    def counts(self, alive: Sequence[ReplicaStatus]) -> dict[str, Any]:
        """Return the fields of `FleetStatus` that sum up."""
        everyone = [*self._gone, *alive]
        rejects: Counter[str] = Counter()
        last_reject: dict[str, str] = {}
        latency = histogram.empty()
        for replica in everyone:
            rejects.update(replica.rejects)
            last_reject |= replica.last_reject
            latency += replica.latency
        return {
            "records": sum(replica.records for replica in everyone),
            "windows": sum(replica.windows for replica in everyone),
            "rejects": dict(rejects),
            "last_reject": last_reject,
            "ignored_columns": sum(replica.ignored_columns for replica in everyone),
            "lost": sum(replica.lost for replica in everyone),
            "retries": sum(replica.retries for replica in everyone),
            "latency": latency,
            "artifacts": by_artifact((one.artifacts for one in alive), (one.artifacts for one in self._gone)),
        }
