"""The wanted number of replicas, from tick to tick: by the last order, or by autoscaling.

In: orders, earlier ones as replicas remember them, statuses. Out: a size. Knows nothing of starts and ends of replicas.
"""

from collections import deque
from collections.abc import Iterable

from undertow.fleet.autoscale import Autoscaler
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.settings.sections import FleetSettings
from undertow.stream.ports import Clock


class Sizing:
    """The size of one fleet. Any thread may `order`; the thread that ticks owns the rest."""

    def __init__(self, fleet: FleetSettings, clock: Clock) -> None:
        """Start with `fleet.replicas`; with `fleet.max_replicas` autoscaling continues from it."""
        self._size, self._clock = FleetSize(0, fleet.replicas), clock
        self._autoscaler = Autoscaler(fleet, fleet.replicas) if fleet.max_replicas else None
        self._orders: deque[int] = deque()

    @property
    def size(self) -> FleetSize:
        """The present size."""
        return self._size

    @property
    def is_draining(self) -> bool:
        """Whether the fleet is ordered to drain, which is final."""
        return self._size.replicas == 0

    @property
    def reason(self) -> str | None:
        """Why autoscaling chose the size; None where it is set by hand."""
        return None if self._autoscaler is None else self._autoscaler.reason

    def order(self, replicas: int) -> None:
        """Order a size; the next `follow` applies it."""
        self._orders.append(replicas)

    def hear(self, size: FleetSize) -> None:
        """Take in the size that a replica remembers: our predecessor may have given newer orders."""
        self._size = max(self._size, size)

    def follow(self, replicas: Iterable[ReplicaStatus], partitions: int) -> None:
        """Apply all orders in turn, once the newest size that any replica remembers is known.

        Autoscaling gives orders too; one given by hand goes first, and autoscaling continues from it.
        """
        if self._autoscaler is not None and not self.is_draining:
            present = self._size.replicas
            wanted = self._autoscaler.look(replicas, size=present, partitions=partitions, now=self._clock())
            if not self._orders and wanted != present:
                self._orders.append(wanted)
        while self._orders and not self.is_draining:
            self._size = FleetSize(self._size.version + 1, self._orders.popleft())
