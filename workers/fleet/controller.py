"""The fleet's controller without Ray: looks at the replicas, decides, gives orders; a tick never waits.

In: partitions, a wanted number of replicas, a view of living replicas. Out: orders to them, and the fleet's status.
Knows nothing of actors. It keeps no state that it could not learn from the replicas again, so it may die at any time.

A partition is given to a replica only when no living replica reads it any more. That is a courtesy which saves work,
not the fence: the fence is the chain of the offline log.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterable

from schemas.records import Partition
from workers.core.ports import Clock
from workers.fleet.autoscale import Autoscaler, Policy
from workers.fleet.lookout import Lookout
from workers.fleet.placement import Placement, owners
from workers.fleet.replicas import Replicas
from workers.fleet.status import FleetSize, FleetState, FleetStatus, ReplicaStatus
from workers.fleet.summary import Summary

ENDS_WITHOUT_PROGRESS = 5
"""So many replicas in a row that end before any window is embedded: the fault is not theirs, and the fleet stops."""
LONGEST_RESPAWN_DELAY_S = 10.0


class Controller:
    """Keeps so many replicas alive as are wanted, and every partition read.

    One thread ticks; any may call `status`, `scale` and `drain`.
    """

    def __init__(
        self,
        *,
        fleet: str,
        partitions: Iterable[Partition],
        wanted: int,
        standbys: int = 0,
        policy: Policy | None = None,
        replicas: Replicas,
        heartbeat_timeout_s: float,
        clock: Clock,
        new_name: Callable[[], str] = lambda: f"replica-{uuid.uuid4().hex[:6]}",
        lookout: Lookout | None = None,
    ) -> None:
        """Take over the replicas that are alive already. `standbys` are loaded and read nothing until another dies.

        With a `policy` the size follows the lag, from `wanted` on.
        """
        self._fleet, self._partitions = fleet, frozenset(partitions)
        self._added: frozenset[Partition] = frozenset()
        self._autoscaler = None if policy is None else Autoscaler(policy, wanted)
        self._size, self._standbys = FleetSize(0, wanted), standbys
        self._orders: deque[int] = deque()  # of any thread; a tick takes them, one after another
        self._replicas, self._heartbeat_timeout_s, self._clock = replicas, heartbeat_timeout_s, clock
        self._seen: dict[str, ReplicaStatus] = {
            name: ReplicaStatus(name=name, state="starting") for name in replicas.names()
        }
        self._adopted = set(self._seen)
        self._heard_at = dict.fromkeys(self._seen, clock())
        self._sent: dict[str, frozenset[Partition]] = {}
        self._told: dict[str, FleetSize] = {}
        self._placement = Placement(clock)
        self._leaving: set[str] = set()
        self._going: frozenset[str] = frozenset()
        self._summary = Summary()
        self._new_name = new_name
        self._failure: str | None = None
        self._flood: str | None = None
        self._lookout = lookout or Lookout(clock)
        self._failovers = 0
        self._ends, self._windows_at_end, self._spawn_at = 0, 0, clock()
        self._status = self._sum_up()

    def tick(self) -> None:
        """Look once at everything and give the orders that follow."""
        self._going = self._replicas.draining_nodes()
        self._partitions |= self._added
        for name in list(self._seen):
            self._look(name)
        if self._failure is not None:
            for name in list(self._seen):
                self._replicas.remove(name)
                del self._seen[name]
        elif not self._adopted:  # a restarted controller first hears how everybody is
            self._autoscale()
            self._resize()
            self._spawn()
            self._retire()
            self._place()
        self._status = self._sum_up()
        if not self._adopted and (flood := self._lookout.see(self._status)):
            self._flood = flood
            self.drain()  # what was taken becomes durable, and no offset passes a record that was not

    def drain(self) -> None:
        """Let every replica finish its batch, write its checkpoint and end."""
        self.scale(0)

    def scale(self, replicas: int) -> None:
        """Want so many replicas from now on. Those that are too many finish their batches and end."""
        self._orders.append(replicas)

    def grow(self, partitions: Iterable[Partition]) -> None:
        """Read these as well from now on: partitions are added to a topic, and never taken away."""
        self._added |= frozenset(partitions)

    def fail(self, reason: str) -> None:
        """End all replicas as they are: there is nothing left that they could do."""
        self._failure = self._failure or reason

    @property
    def _is_draining(self) -> bool:
        return self._size.replicas == 0

    @property
    def _doomed(self) -> set[str]:
        """Who lives on a node that is about to go."""
        return {name for name, one in self._seen.items() if one.ray_node in self._going}

    @property
    def _loaded(self) -> int:
        """How many replicas there should be, with the standbys."""
        return 0 if self._is_draining else self._size.replicas + self._standbys

    def status(self) -> FleetStatus:
        """Return what the last tick saw."""
        return self._status

    def _sum_up(self) -> FleetStatus:
        alive = tuple(self._seen[name] for name in sorted(self._seen))
        return FleetStatus(
            name=self._fleet,
            state=self._state(alive),
            replicas=alive,
            wanted=self._size.replicas,
            standbys=self._standbys,
            partitions=len(self._partitions),
            failovers=self._failovers,
            autoscale=None if self._autoscaler is None else self._autoscaler.reason,
            message=self._failure or self._flood or next((r.blocked for r in alive if r.blocked), None),
            lines=self._lookout.lines(alive),
            **self._summary.counts(alive),
        )

    def _state(self, alive: tuple[ReplicaStatus, ...]) -> FleetState:
        if self._failure is not None:
            return "failed"
        if self._is_draining:
            return "draining" if alive else "failed" if self._flood else "drained"
        return "running" if any(replica.state == "running" for replica in alive) else "starting"

    def _look(self, name: str) -> None:
        """Take in a replica's answer; bury it where it is dead, has ended or has been silent for too long."""
        answer, now = self._replicas.look(name), self._clock()
        if isinstance(answer, ReplicaStatus):
            self._seen[name], self._heard_at[name] = answer, now
            self._placement.hear(answer.lag)
            if answer.state == "draining":  # by our order, our predecessor's, or since its process was told to end
                self._leaving.add(name)
            if name in self._adopted:
                self._adopted.discard(name)
                self._sent[name], self._told[name] = answer.wanted, answer.size
                self._size = max(self._size, answer.size)
                self._partitions |= answer.wanted | answer.held
            if answer.wanted != self._sent.get(name, frozenset()):  # a predecessor's last order came after ours
                self._told.pop(name, None)
            if answer.state == "ended":
                self._bury(name, answer.error, refused=answer.refused)
        elif isinstance(answer, str):
            self._bury(name, answer)
        elif self._is_silent(name, now):
            self._bury(name, f"no heartbeat for {now - self._heard_at[name]:.1f} s")

    def _is_silent(self, name: str, now: float) -> bool:
        """Tell whether a replica that has answered before, to us or to our predecessor, no longer does."""
        has_answered = self._seen[name].state != "starting" or name in self._adopted
        return has_answered and now - self._heard_at[name] > self._heartbeat_timeout_s

    def _bury(self, name: str, reason: str | None, *, refused: bool = False) -> None:
        self._replicas.remove(name)
        replica = self._seen.pop(name)
        self._summary.bury(replica)
        self._lookout.gone(replica, reason)
        self._sent.pop(name, None)
        self._told.pop(name, None)
        self._leaving.discard(name)
        self._adopted.discard(name)
        del self._heard_at[name]
        if reason is None:
            return
        self._failovers += 1
        windows = self._summary.counts(tuple(self._seen.values()))["windows"]
        self._ends = 1 if windows > self._windows_at_end else self._ends + 1
        self._windows_at_end = windows
        if refused and not windows:
            self._failure = reason
        elif self._ends >= ENDS_WITHOUT_PROGRESS and not self._is_draining:
            self._failure = f"{self._ends} replicas in a row ended without embedding a window; the last: {reason}"
        delay = 0.0 if self._ends <= 1 else min(2.0 ** (self._ends - 2), LONGEST_RESPAWN_DELAY_S)
        self._spawn_at = self._clock() + delay

    def _spawn(self) -> None:
        if self._clock() < self._spawn_at:
            return
        while len(self._seen) - len(self._leaving | self._doomed) < self._loaded:
            name = self._new_name()
            self._replicas.spawn(name)
            self._seen[name] = ReplicaStatus(name=name, state="starting")
            self._heard_at[name] = self._clock()

    def _resize(self) -> None:
        """Follow all orders, now that the newest size that any replica carries is known. A drain is for good."""
        while self._orders and not self._is_draining:
            self._size = FleetSize(self._size.version + 1, self._orders.popleft())

    def _autoscale(self) -> None:
        """Ask for the size that the lag asks for. An order by hand goes first, and is where it goes on from."""
        if self._autoscaler is None or self._is_draining:
            return
        present, partitions = self._size.replicas, len(self._partitions)
        size = self._autoscaler.look(self._seen.values(), size=present, partitions=partitions, now=self._clock())
        if not self._orders and size != present:
            self._orders.append(size)

    def _retire(self) -> None:
        """Let those that are too many finish: first those that are about to, then those that read the least.

        Who lives on a node that is about to go finishes as soon as there are enough others.
        """
        doomed = self._doomed - self._leaving
        order = {"draining": 0, "starting": 1, "running": 2}
        staying = [one for name, one in self._seen.items() if name not in self._leaving | doomed]
        if sum(one.state == "running" for one in staying) >= self._size.replicas:
            self._leaving |= doomed
        staying.sort(key=lambda one: (order[one.state], len(one.held), one.name))
        for replica in staying[: max(0, len(staying) - self._loaded)]:
            if replica.state == "starting":
                self._bury(replica.name, None)
            else:
                self._leaving.add(replica.name)
        for name in self._leaving:
            self._replicas.drain(name, self._size)

    def _place(self) -> None:
        """Tell each ready replica what to read: its share of the plan, less what another still holds."""
        ready = [name for name, one in self._seen.items() if one.state == "running" and name not in self._leaving]
        shares = self._placement.shares(
            self._partitions, ready, owners(self._seen, self._sent), size=self._size.replicas
        )
        for name, share in shares.items():
            if share != self._sent.get(name, frozenset()) or self._told.get(name) != self._size:
                self._replicas.assign(name, share, self._size)
                self._sent[name], self._told[name] = share, self._size
