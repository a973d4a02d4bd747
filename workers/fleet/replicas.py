"""The living replicas, as the controller reaches them.

In: orders. Out: answers, as far as they have come. Implemented over Ray by `undertow.fleet.ray_replicas`.
"""

from collections.abc import Iterable
from typing import Protocol

from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.care import Care


class Replicas(Protocol):
    """The living replicas. No call waits."""

    def names(self) -> Iterable[str]:
        """Return those that are alive now: how a restarted controller finds its fleet."""

    def spawn(self, name: str, avoid: frozenset[str]) -> None:
        """Start one, on other nodes than these where others have room."""

    def nodes(self) -> frozenset[str]:
        """Return the nodes on which a replica has room when nothing else is there; empty where that is not known."""

    def look(self, name: str) -> ReplicaStatus | str | None:
        """Return its newest answer; a string says that it is dead, and why; None where nothing new has come.

        An answer that was asked for before the last `assign` is not returned: it would tell of what was before.
        """

    def draining_nodes(self) -> frozenset[str]:
        """Return the nodes that are about to go (`ReplicaStatus.ray_node`), as far as is known."""

    def assign(self, name: str, partitions: frozenset[Partition], size: FleetSize, care: Care) -> None:
        """Tell it what to read, and what of it with care, and how large the fleet should be."""

    def drain(self, name: str, size: FleetSize) -> None:
        """Tell it to finish."""

    def remove(self, name: str) -> None:
        """End its process now."""
