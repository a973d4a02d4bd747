"""The fleet's controller without Ray: observes the replicas, decides, sends orders; a tick never blocks.

In: partitions, a wanted number of replicas, a view of living replicas. Out: orders to them, and the fleet's status.
Knows nothing of actors. All its state can be learned from the replicas again, so it may die at any time.

A partition is assigned to a replica only when no living replica reads it any more. That only saves work; the fence is
the chain of the offline log.
"""

from collections.abc import Callable, Iterable

from undertow.fleet import restart_policy
from undertow.fleet.monitor import FleetMonitor
from undertow.fleet.placement import Placement, owners
from undertow.fleet.quarantine import Quarantine
from undertow.fleet.replicas import Replicas
from undertow.fleet.sizing import Sizing
from undertow.fleet.slots import new_name
from undertow.fleet.status import FleetSize, FleetState, FleetStatus, ReplicaStatus
from undertow.fleet.summary import Summary
from undertow.schemas.records import Partition
from undertow.settings.sections import FleetSettings
from undertow.stream.ports import Clock
from undertow.stream.quarantine_order import QuarantineOrder
from undertow.stream.verdicts import EndCause

RESTARTS = restart_policy.RestartPolicy()
STARTING = 16
"""How many replicas may be starting at once: each start is ordered within a tick, which drains and scales wait for, and
loads torch and a model from disk. A choice."""


class Controller:
    """Keeps the wanted number of replicas alive and every partition assigned.

    One thread calls `tick`; any may call `status`, `scale` and `drain`.
    """

    def __init__(
        self,
        *,
        fleet: FleetSettings,
        partitions: Iterable[Partition],
        replicas: Replicas,
        clock: Clock,
        new_name: Callable[[Iterable[str]], str] = new_name,
        monitor: FleetMonitor | None = None,
    ) -> None:
        """Adopt the replicas that are alive already."""
        self._fleet, self._partitions = fleet, frozenset(partitions)
        self._added: frozenset[Partition] = frozenset()
        self._sizing = Sizing(fleet, clock)
        self._replicas, self._clock = replicas, clock
        self._seen: dict[str, ReplicaStatus] = {
            name: ReplicaStatus(name=name, state="starting") for name in replicas.names()
        }
        self._adopted = set(self._seen)
        self._heard_at = dict.fromkeys(self._seen, clock())
        self._sent: dict[str, frozenset[Partition]] = {}
        self._unheard: dict[str, frozenset[Partition]] = {}  # of earlier orders, which a replica may be following still
        self._told: dict[str, tuple[FleetSize, QuarantineOrder]] = {}
        self._placement, self._quarantine = Placement(clock), Quarantine(clock)
        self._leaving: set[str] = set()
        self._going: frozenset[str] = frozenset()
        self._summary = Summary()
        self._new_name = new_name
        self._failure: str | None = None
        self._too_many: str | None = None
        self._monitor = monitor or FleetMonitor(clock, fleet)
        self._failovers = 0
        self._run_since: dict[str, float] = {}
        self._ended: list[restart_policy.ReplicaEnd] = []
        self._history, self._decision = restart_policy.RestartHistory(), restart_policy.RestartDecision()
        self._status = self._sum_up()

    def tick(self) -> None:
        """Observe everything once and send the orders that follow."""
        self._going = self._replicas.draining_nodes()
        self._partitions |= self._added
        for name in list(self._seen):
            self._look(name)
        if not self._adopted:  # a restarted controller first waits for a status of every replica
            self._judge()
        if self._failure is not None:
            for name in list(self._seen):
                self._replicas.remove(name)
                del self._seen[name]
        elif not self._adopted:
            self._sizing.follow(self._seen.values(), len(self._partitions))
            self._spawn()
            self._retire()
            self._place()
        self._status = self._sum_up()
        if not self._adopted and (too_many := self._monitor.see(self._status)):
            self._too_many = too_many
            self.drain()  # everything read becomes durable, and no offset skips a record

    def drain(self) -> None:
        """Order every replica to finish its batch, write a checkpoint and end."""
        self.scale(0)

    def scale(self, replicas: int) -> None:
        """Change the wanted number of replicas. Surplus ones finish their batches and end."""
        self._sizing.order(replicas)

    def grow(self, partitions: Iterable[Partition]) -> None:
        """Read these partitions as well: Kafka adds partitions to a topic and never removes any."""
        self._added |= frozenset(partitions)

    def fail(self, reason: str) -> None:
        """Kill all replicas and fail the fleet, for this reason."""
        self._failure = self._failure or reason

    @property
    def _doomed(self) -> set[str]:
        """The replicas on nodes that are draining."""
        return {name for name, one in self._seen.items() if one.ray_node in self._going}

    @property
    def _loaded(self) -> int:
        """The wanted number of replicas, standbys included."""
        return 0 if self._sizing.is_draining else self._sizing.size.replicas + self._fleet.standbys

    def status(self) -> FleetStatus:
        """Return the status as of the last tick."""
        return self._status

    def _sum_up(self) -> FleetStatus:
        alive = tuple(self._seen[name] for name in sorted(self._seen))
        return FleetStatus(
            name=self._fleet.name,
            state=self._state(alive),
            replicas=alive,
            wanted=self._sizing.size.replicas,
            standbys=self._fleet.standbys,
            partitions=len(self._partitions),
            failovers=self._failovers,
            autoscale=self._sizing.reason,
            message=self._message(alive),
            lines=self._monitor.lines(alive),
            suspects=self._quarantine.lines(),
            counts=self._summary.counts(alive),
            artifacts=self._summary.artifacts(alive),
            left=self._summary.left,
        )

    def _state(self, alive: tuple[ReplicaStatus, ...]) -> FleetState:
        if self._failure is not None:
            return "failed"
        if self._sizing.is_draining:
            return "draining" if alive else "failed" if self._too_many else "drained"
        return "running" if any(replica.state == "running" for replica in alive) else "starting"

    def _message(self, alive: tuple[ReplicaStatus, ...]) -> str | None:
        blocked = next((replica.blocked for replica in alive if replica.blocked), None)
        return self._failure or self._too_many or blocked or self._decision.told

    def _look(self, name: str) -> None:
        """Take in a replica's answer; remove it where it is dead, has ended or has been silent for too long."""
        answer, now = self._replicas.look(name), self._clock()
        if isinstance(answer, ReplicaStatus):
            self._seen[name], self._heard_at[name] = answer, now
            self._placement.hear(answer.lag)
            self._quarantine.hear(answer, is_adopted=name in self._adopted)
            if answer.state == "running":
                self._run_since.setdefault(name, now)
            if answer.state == "draining":  # by our order, our predecessor's, or because of SIGTERM
                self._leaving.add(name)
            if name in self._adopted:
                self._adopted.discard(name)
                self._sent[name], self._told[name] = answer.wanted, (answer.size, answer.quarantine)
                self._sizing.hear(answer.size)
                self._partitions |= answer.wanted | answer.held
            if answer.wanted == self._sent_to(name):
                self._unheard.pop(name, None)
            else:  # it has not heard our last order yet, or heard a predecessor's after it
                self._told.pop(name, None)
            if answer.state == "ended":
                self._bury(name, answer.error, fault=answer.fault)
            elif answer.hangs is not None:
                self._bury(name, answer.hangs)
        elif isinstance(answer, str):
            self._bury(name, answer)
        elif self._is_silent(name, now):
            self._bury(name, f"no heartbeat for {now - self._heard_at[name]:.1f} s")

    def _is_silent(self, name: str, now: float) -> bool:
        """Return whether a replica that has answered before, to us or to our predecessor, no longer does."""
        has_answered = self._seen[name].state != "starting" or name in self._adopted
        return has_answered and now - self._heard_at[name] > self._fleet.heartbeat_timeout_seconds

    def _bury(self, name: str, reason: str | None, *, fault: EndCause = "crashed") -> None:
        self._replicas.remove(name)
        replica = self._seen.pop(name)
        self._summary.bury(replica, is_last=self._sizing.is_draining)
        self._monitor.gone(replica, reason)
        sent = self._sent.pop(name, frozenset())
        self._told.pop(name, None)
        self._unheard.pop(name, None)
        self._leaving.discard(name)
        # A replica of our predecessor that never answered us may have run for years.
        has_run = self._run_since.pop(name, None) is not None or name in self._adopted
        self._adopted.discard(name)
        del self._heard_at[name]
        if reason is None:
            return
        self._failovers += 1
        windows = self._summary.counts(tuple(self._seen.values())).windows
        self._quarantine.ended(replica, sent, reason, windows=windows)
        self._ended.append(
            restart_policy.ReplicaEnd(
                at=self._clock(),
                reason=reason,
                fault=fault,
                node=replica.ray_node,
                host=replica.node,
                has_run=has_run,
                has_worked=replica.counts.windows > 0,
            )
        )

    def _judge(self) -> None:
        """Decide about restarts, from how replicas have ended."""
        ended, self._ended, now = self._ended, [], self._clock()
        living = [
            restart_policy.LivingReplica(
                node=one.ray_node, runs_since=self._run_since.get(name), has_worked=one.counts.windows > 0
            )
            for name, one in self._seen.items()
        ]
        self._history = restart_policy.remember(
            RESTARTS, self._history, ended=ended, living=living, nodes=self._replicas.nodes(), now=now
        )
        self._decision = restart_policy.decide_restart(RESTARTS, self._history, now)
        if (why := self._decision.gives_up or self._quarantine.gives_up) and not self._sizing.is_draining:
            self.fail(why)

    def _spawn(self) -> None:
        if self._clock() < self._decision.spawn_at:
            return
        starting = sum(one.state == "starting" for one in self._seen.values())
        missing = self._loaded - (len(self._seen) - len(self._leaving | self._doomed))
        for _ in range(min(missing, STARTING - starting)):
            name = self._new_name(self._seen)
            self._replicas.spawn(name, self._decision.avoid)
            self._seen[name] = ReplicaStatus(name=name, state="starting")
            self._heard_at[name] = self._clock()

    def _retire(self) -> None:
        """Drain surplus replicas: first those on draining nodes, then those that read the least.

        A replica on a draining node is drained as soon as there are enough others.
        """
        doomed = self._doomed - self._leaving
        order = {"draining": 0, "starting": 1, "running": 2}
        staying = [one for name, one in self._seen.items() if name not in self._leaving | doomed]
        if sum(one.state == "running" for one in staying) >= self._sizing.size.replicas:
            self._leaving |= doomed
        staying.sort(key=lambda one: (order[one.state], len(one.held), one.name))
        for replica in staying[: max(0, len(staying) - self._loaded)]:
            if replica.state == "starting":
                self._bury(replica.name, None)
            else:
                self._leaving.add(replica.name)
        for name in self._leaving:
            self._replicas.drain(name, self._sizing.size)

    def _place(self) -> None:
        """Assign to each ready replica its share of the plan, less what another still holds."""
        ready = [name for name, one in self._seen.items() if one.state == "running" and name not in self._leaving]
        shares = self._placement.shares(
            self._partitions,
            ready,
            owners(self._seen, {name: self._may_follow(name) for name in self._seen}),
            size=self._sizing.size.replicas,
            quarantined=self._quarantine.partitions,
        )
        for name, share in shares.items():
            size, quarantine = self._sizing.size, self._quarantine.order.of(share)
            if share != self._sent_to(name) or self._told.get(name) != (size, quarantine):
                self._replicas.assign(name, share, size, quarantine)
                self._unheard[name] = self._may_follow(name)
                self._sent[name], self._told[name] = share, (size, quarantine)

    def _sent_to(self, name: str) -> frozenset[Partition]:
        return self._sent.get(name, frozenset())

    def _may_follow(self, name: str) -> frozenset[Partition]:
        return self._sent_to(name) | self._unheard.get(name, frozenset())
