"""The quarantine of partitions that kill replicas, as the controller keeps it from tick to tick.

In: statuses, and ends of replicas. Out: which partitions are quarantined, and how. Knows no rule: decisions are made in
`suspects`. All its state can be learned by a new controller from the replicas, or from two more ends.
"""

import logging
from collections.abc import Iterator

from undertow.fleet.status import ReplicaStatus
from undertow.fleet.suspects import (
    HOPELESS,
    Incident,
    PartitionProgress,
    Suspect,
    Suspects,
    after_end,
    after_progress,
    learn,
    quarantine_order_of,
)
from undertow.schemas.records import Partition
from undertow.schemas.wording import counted
from undertow.stream.ports import Clock
from undertow.stream.quarantine_order import NO_QUARANTINE, QuarantineOrder
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)


class Quarantine:
    """The suspect partitions of one fleet. The thread that ticks owns it."""

    def __init__(self, clock: Clock) -> None:
        """Start without suspects."""
        self._clock = clock
        self._suspects: Suspects = {}
        self._order = NO_QUARANTINE
        self._condemned, self._windows = 0, 0
        self.gives_up: str | None = None
        """Why the fleet must stop: the records are not the cause."""

    @property
    def order(self) -> QuarantineOrder:
        """The order for the replicas."""
        return self._order

    @property
    def partitions(self) -> frozenset[Partition]:
        """The quarantined partitions, which one replica reads alone."""
        return frozenset(self._order.steps)

    def lines(self) -> tuple[str, ...]:
        """Return one line for each suspect."""
        return tuple(
            f"{partition} of {artifact} is read alone from offset {one.position} on, "
            f"{counted(one.step, 'record')} at a time"
            f" ({one.reason}), until {'nothing is left' if not one.until else f'offset {one.until}'}"
            for (artifact, partition), one in sorted(self._suspects.items())
            if one.step
        )

    def hear(self, replica: ReplicaStatus, *, is_adopted: bool) -> None:
        """Take in a replica's status; from an adopted one, its order as well."""
        if is_adopted and replica.quarantine.steps:
            known = {(part.artifact, p): end for part in replica.artifacts for p, (end, _) in part.ends.items()}
            artifacts = [part.artifact for part in replica.artifacts]
            self._suspects = {**learn(replica.quarantine, artifacts, known), **self._suspects}
            self._order = quarantine_order_of(self._suspects)
        if not self._suspects:
            return
        for part in replica.artifacts:
            for partition, (end, _) in part.ends.items():
                if (key := (part.artifact, partition)) in self._suspects:
                    is_read_up = partition in replica.quarantine.steps and part.lag.get(partition) == 0
                    self._become(
                        after_progress(self._suspects, PartitionProgress(key=key, position=end, is_read_up=is_read_up))
                    )

    def ended(self, replica: ReplicaStatus, sent: frozenset[Partition], reason: str, *, windows: int) -> None:
        """Take in the unexpected end of a replica: its last status, the partitions assigned to it, and the reason.

        `windows` is the number embedded by the whole fleet so far.
        """
        for end in self._ends(replica, sent):
            before = self._suspects.get(end.key)
            self._become(after_end(self._suspects, end))
            self._tell(end, before, self._suspects[end.key], reason, windows)

    def _become(self, suspects: Suspects) -> None:
        self._suspects = suspects
        self._order = quarantine_order_of(suspects)

    def _ends(self, replica: ReplicaStatus, sent: frozenset[Partition]) -> Iterator[Incident]:
        """Yield the ends by partition; none where the replica was waiting for a store, or ended by a handled error."""
        if replica.state == "starting" or replica.fault in {"refused", "unavailable"}:
            return
        if replica.blocked and replica.hangs is None:
            return
        now = self._clock()
        for part in replica.artifacts:
            if (place := part.in_flight.place) is not None:
                partition, position = place
                step = replica.quarantine.steps.get(partition, 0)
                yield Incident(
                    key=(part.artifact, partition),
                    position=position,
                    step=step,
                    reason="kills-replica" if replica.hangs is None else "hangs",
                    at=now,
                )
                return  # no other stream of it was reading
        for part in replica.artifacts:
            suspected = (sent | replica.wanted | part.held) - replica.quarantine.steps.keys()
            if replica.hangs is not None:
                suspected = frozenset(part.in_flight.embedding)
            for partition in sorted(suspected):
                end, taken = part.ends.get(partition, (None, None))
                yield Incident(
                    key=(part.artifact, partition),
                    position=end,
                    read_to=taken,
                    reason="kills-replica" if replica.hangs is None else "hangs",
                    at=now,
                )

    def _tell(self, end: Incident, before: Suspect | None, after: Suspect, reason: str, windows: int) -> None:
        artifact, partition = end.key
        step_before = before.step if before is not None else 0
        if after.refused is not None and (before is None or before.refused != after.refused):
            self._condemned = self._condemned + 1 if windows == self._windows else 1
            self._windows = windows
            text = f"the record at or behind offset {after.refused} of {partition} is refused for {artifact}: {reason}"
            where = {"partition": str(partition), "offset": after.refused}
            say(log, logging.WARNING, "condemned", text, **where, reason=end.reason)
            if self._condemned >= HOPELESS:
                self.gives_up = (
                    f"{self._condemned} records in a row ended each replica that took them, and no window was embedded "
                    f"between: it is the model or this machine, not the records; the last: {reason}"
                )
        elif after.step and after.step != step_before:
            text = (
                f"replicas that read {partition} end at offset {after.position} ({reason}): it is read alone for "
                f"{artifact}, {counted(after.step, 'record')} at a time"
            )
            say(log, logging.WARNING, "suspect", text, partition=str(partition), offset=after.position, step=after.step)
