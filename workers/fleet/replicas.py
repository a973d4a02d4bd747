"""The port by which the controller reaches the living replicas.

In: orders. Out: the answers that have arrived. Knows no Ray: implemented by `undertow.fleet.ray_replicas`.
"""

from collections.abc import Iterable
from typing import Protocol

from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import QuarantineOrder


class Replicas(Protocol):
    """The living replicas. No call blocks."""

    def names(self) -> Iterable[str]:
        """Return the names of the living: how a restarted controller finds its fleet."""

    def spawn(self, name: str, avoid: frozenset[str]) -> None:
        """Start a replica, avoiding these nodes where others have room."""

    def nodes(self) -> frozenset[str]:
        """Return the nodes whose total resources suffice for a replica; empty where that is not known."""

    def look(self, name: str) -> ReplicaStatus | str | None:
        """Return its newest status; a string where it is dead, with the reason; None where nothing new has arrived.

        A status that was requested before the last `assign` is not returned: it would be stale.
        """

    def draining_nodes(self) -> frozenset[str]:
        """Return the nodes that are known to be draining (`ReplicaStatus.ray_node`)."""

    def assign(self, name: str, partitions: frozenset[Partition], size: FleetSize, quarantine: QuarantineOrder) -> None:
        """Order it to read these partitions, tell it which are quarantined and how large the fleet should be."""

    def drain(self, name: str, size: FleetSize) -> None:
        """Order it to drain."""

    def remove(self, name: str) -> None:
        """Kill its process."""
