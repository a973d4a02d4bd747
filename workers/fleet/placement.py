"""Assign partitions to replicas from tick to tick: replan when something has changed.

In: the ready replicas, who reads what, the lag of each partition. Out: each replica's share. Knows nothing of orders.
"""

from collections.abc import Iterable, Mapping, Sequence

from undertow.fleet.plan import plan
from undertow.fleet.status import ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.ports import Clock

EVEN_OUT_EVERY_S = 30.0
"""How often a fleet in which nothing else changes is rebalanced by lag."""


class Placement:
    """The plan of one fleet, and the lags it is based on. The thread that ticks owns it."""

    def __init__(self, clock: Clock) -> None:
        """Start without a plan."""
        self._clock = clock
        self._plan: dict[Partition, str] = {}
        self._planned_for: object = None
        self._even_out_at = clock() + EVEN_OUT_EVERY_S
        self._lag: dict[Partition, int] = {}

    def hear(self, lag: Mapping[Partition, int]) -> None:
        """Take in the lag of some partitions."""
        self._lag.update(lag)

    def shares(
        self,
        partitions: frozenset[Partition],
        ready: Iterable[str],
        owners: Mapping[Partition, str],
        *,
        size: int,
        quarantined: frozenset[Partition] = frozenset(),
    ) -> dict[str, frozenset[Partition]]:
        """Return the partitions of each ready replica: its share of the plan, less what another still holds.

        `size` of the ready replicas share the partitions; the rest are standbys. The partitions in `quarantined` have
        killed replicas: where there are several replicas, one reads these and no others.
        """
        ready, readers = list(ready), set(owners.values())
        active = sorted(ready, key=lambda name: (name not in readers, name))[:size]
        quarantined &= partitions
        if not quarantined or size == 1:
            wanted = self._share_out(partitions, active, owners)
        else:
            tester = _tester(active, owners, quarantined, is_complete=len(active) == size)
            others = [name for name in active if name != tester]
            wanted = {
                **self._share_out(partitions - quarantined, others, owners),
                **dict.fromkeys(quarantined if tester is not None else (), tester or ""),
            }
        return {
            name: frozenset(p for p, owner in wanted.items() if owner == name and owners.get(p, name) == name)
            for name in ready
        }

    def _share_out(
        self, partitions: frozenset[Partition], active: Sequence[str], owners: Mapping[Partition, str]
    ) -> Mapping[Partition, str]:
        """Replan by lag when something has changed, and periodically; in between, keep the plan."""
        current = {**owners, **{p: name for p, name in self._plan.items() if name in active}}
        situation, now = (frozenset(active), partitions), self._clock()
        if situation != self._planned_for or now >= self._even_out_at:
            self._planned_for, self._even_out_at = situation, now + EVEN_OUT_EVERY_S
            self._plan = plan(partitions, active, current, self._lag)
        return self._plan


def _tester(
    active: Sequence[str], owners: Mapping[Partition, str], quarantined: frozenset[Partition], *, is_complete: bool
) -> str | None:
    """Return the replica for quarantined partitions: one that reads nothing else, or else hands its others over.

    None while a replica without partitions is still starting: it takes them, so that nobody hands anything over; and
    in a fleet that drains.
    """
    reads_else = {name: sum(owner == name for p, owner in owners.items() if p not in quarantined) for name in active}
    reads_them = {owner for p, owner in owners.items() if p in quarantined}
    free = [name for name in active if not reads_else[name]]
    if free:
        return min(free, key=lambda name: (name not in reads_them, name))
    return min(active, key=lambda name: (reads_else[name], name)) if active and is_complete else None


def owners(alive: Mapping[str, ReplicaStatus], sent: Mapping[str, frozenset[Partition]]) -> Mapping[Partition, str]:
    """Return the replica that reads each partition, or has been ordered to."""
    return {
        partition: name
        for name, status in alive.items()
        for partition in status.held | status.wanted | sent.get(name, frozenset())
    }
