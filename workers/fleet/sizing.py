"""How many replicas there should be, from tick to tick: by the last order, or by the lag.

In: orders, what replicas carry of earlier ones, their readings. Out: a size. Knows nothing of who is started or ended.
"""

from collections import deque
from collections.abc import Iterable

from undertow.fleet.autoscale import Autoscaler, Policy
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.stream.ports import Clock


class Sizing:
    """The size of one fleet. Any thread may `order`; the thread that ticks owns the rest."""

    def __init__(self, wanted: int, policy: Policy | None, clock: Clock) -> None:
        """Begin with so many; with a `policy` the size follows the lag from there on."""
        self._size, self._clock = FleetSize(0, wanted), clock
        self._autoscaler = None if policy is None else Autoscaler(policy, wanted)
        self._orders: deque[int] = deque()

    @property
    def size(self) -> FleetSize:
        """The present one."""
        return self._size

    @property
    def is_draining(self) -> bool:
        """Whether there should be none any more, which is for good."""
        return self._size.replicas == 0

    @property
    def reason(self) -> str | None:
        """Why it is what it is; None where it is set by hand."""
        return None if self._autoscaler is None else self._autoscaler.reason

    def order(self, replicas: int) -> None:
        """Want so many; the next `follow` takes it up."""
        self._orders.append(replicas)

    def hear(self, size: FleetSize) -> None:
        """Take in what a replica carries of the fleet: our predecessor may have given newer orders."""
        self._size = max(self._size, size)

    def follow(self, replicas: Iterable[ReplicaStatus], partitions: int) -> None:
        """Follow all orders, one after another, now that the newest size that any replica carries is known.

        Where the lag asks for another size, that is an order too; one by hand goes first, and it goes on from there.
        """
        if self._autoscaler is not None and not self.is_draining:
            present = self._size.replicas
            wanted = self._autoscaler.look(replicas, size=present, partitions=partitions, now=self._clock())
            if not self._orders and wanted != present:
                self._orders.append(wanted)
        while self._orders and not self.is_draining:
            self._size = FleetSize(self._size.version + 1, self._orders.popleft())
