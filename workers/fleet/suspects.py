"""Find the records that kill replicas (poison pills) by bisection: pure functions.

In: how replicas ended, what they read and how far that was durable. Out: which partitions to quarantine, in which
steps, and which records to reject. Knows neither Ray nor Kafka, and no replica by name.

A position is the end of a chain: the next record to be read. Two ends in a row at one position make its partition a
suspect, which is then quarantined (`undertow.stream.quarantine_order`): the next end is known to be caused by the step
that began at the announced position. The step shrinks with each such end and grows again after it has passed. A step of
one record that ends a replica twice (any process may be killed once) condemns the record: it is rejected, and reading
continues. Who rejects it may still read it for what it names, unless replicas end of that, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import QuarantineOrder

STEPS = (256, 16, 1)
ENDS_OF_ONE: Mapping[str, int] = {"kills-replica": 2, "hangs": 1}
"""By fault, the ends at a step of one record that condemn it; no process hangs by chance."""
SPAN = 5_000
"""Offsets past the furthest known position that are quarantined: read, but not yet reported by the last heartbeat."""
FORGET_S = 600.0
"""A single end is forgotten after this time."""
HOPELESS = 5
"""With this many records condemned before any window was embedded, the model is at fault, not the records."""

Reason = Literal["kills-replica", "hangs"]
SuspectKey = tuple[str, Partition]
"""An artifact's name, and a partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The unexpected end of a replica, for one artifact and one partition."""

    key: SuspectKey
    position: int | None
    """The last known end of the chain; None where unknown."""
    read_to: int | None = None
    reason: Reason = "kills-replica"
    step: int = 0
    """In quarantine, the records of the step; then `position` is where it began. 0 otherwise."""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The evidence against one partition for one artifact."""

    position: int | None
    ends: int
    """Number of ends in a row at this position and step."""
    step: int
    """0 after a single end, which is not enough evidence: the partition is read as usual."""
    until: int = 0
    """The offset up to which it is quarantined."""
    bad_until: int = 0
    """The offset before which the guilty record must be."""
    reason: Reason = "kills-replica"
    at: float = 0.0
    refused: int | None = None
    """The condemned offset that has not been passed yet."""
    is_seen: bool = True
    """Whether its record may be read for what it names: not where replicas ended of that as well."""


Suspects = Mapping[SuspectKey, Suspect]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionProgress:
    """The progress of one artifact in one partition."""

    key: SuspectKey
    position: int
    is_read_up: bool = False
    """Whether nothing quarantined was left to read."""


def decide_suspects(history: Iterable[Incident | PartitionProgress]) -> Suspects:
    """Return the suspects after all these events, oldest first."""
    suspects: Suspects = {}
    for event in history:
        suspects = after_end(suspects, event) if isinstance(event, Incident) else after_progress(suspects, event)
    return suspects


def after_end(suspects: Suspects, end: Incident) -> Suspects:
    """Return the suspects after the end of a replica."""
    before = suspects.get(end.key)
    if end.step and before is not None and before.step:
        return {**suspects, end.key: _after_step(before, end)}
    if before is not None and before.step:
        return suspects  # it is quarantined already, and this end had another cause
    return {**suspects, end.key: _after_any(before, end)}


def _after_any(before: Suspect | None, end: Incident) -> Suspect:
    """Return the suspect after the end of a replica that read it without quarantine."""
    is_again = (
        before is not None
        and end.at - before.at <= FORGET_S
        and (before.position is None or end.position is None or before.position == end.position)
    )
    position = end.position if before is None or end.position is not None or not is_again else before.position
    if before is None or not is_again:
        return Suspect(position=position, ends=1, step=0, reason=end.reason, at=end.at)
    furthest = max(end.read_to or 0, position or 0)
    return Suspect(position=position, ends=0, step=STEPS[0], until=furthest + SPAN, reason=end.reason, at=end.at)


def _after_step(before: Suspect, end: Incident) -> Suspect:
    """Return the suspect after the end of a replica that read it in quarantine."""
    position = end.position if end.position is not None else before.position or 0
    ends = before.ends + 1 if position == before.position and end.step == before.step else 1
    reason = end.reason if before.refused is None else before.reason  # the reason of the rejection, until it is passed
    now = replace(before, position=position, reason=reason, at=end.at, bad_until=position + end.step)
    if end.step > STEPS[-1]:
        return replace(now, step=next(step for step in STEPS if step < end.step), ends=0)
    if ends < ENDS_OF_ONE[end.reason]:
        return replace(now, step=STEPS[-1], ends=ends)
    is_seen = before.refused != position
    return replace(now, refused=position, is_seen=is_seen, reason=end.reason, step=STEPS[-1], ends=0)


def after_progress(suspects: Suspects, progress: PartitionProgress) -> Suspects:
    """Return the suspects after some offsets became durable."""
    before = suspects.get(progress.key)
    if before is None:
        return suspects
    position, known = progress.position, before.position or 0
    rest = {key: suspect for key, suspect in suspects.items() if key != progress.key}
    has_moved = before.position is not None and position > known
    if not before.step:
        return rest if has_moved else suspects
    if position >= before.until or (progress.is_read_up and before.refused is None):
        return rest
    if not has_moved:
        return {**rest, progress.key: replace(before, position=position)} if before.position is None else suspects
    now = replace(before, position=position, ends=0)
    if before.refused is not None and position > before.refused:
        now = replace(now, refused=None, is_seen=True, bad_until=0)
    if position >= now.bad_until:
        now = replace(now, step=STEPS[0])
    return {**rest, progress.key: now}


def quarantine_order_of(suspects: Suspects) -> QuarantineOrder:
    """Return the order that follows: a partition is quarantined for all artifacts, in the smallest of their steps."""
    steps: dict[Partition, int] = {}
    for (_, partition), suspect in suspects.items():
        if suspect.step:
            steps[partition] = min(suspect.step, steps.get(partition, suspect.step))
    refused = {
        key: (suspect.refused, str(suspect.reason)) for key, suspect in suspects.items() if suspect.refused is not None
    }
    unseen = frozenset(key for key in refused if not suspects[key].is_seen)
    return QuarantineOrder(steps=steps, refused=refused, unseen=unseen)


def learn(quarantine: QuarantineOrder, artifacts: Iterable[str], known: Mapping[SuspectKey, int]) -> Suspects:
    """Reconstruct the suspects from the order that a predecessor gave."""
    suspects: dict[SuspectKey, Suspect] = {}
    for artifact in artifacts:
        for partition, step in quarantine.steps.items():
            key = (artifact, partition)
            refused, reason = quarantine.refused.get(key, (None, "kills-replica"))
            position = known.get(key)
            suspects[key] = Suspect(
                position=position,
                ends=0,
                step=step,
                until=(position or refused or 0) + SPAN,
                bad_until=(position or 0) + step,
                reason="hangs" if reason == "hangs" else "kills-replica",
                refused=refused,
                is_seen=key not in quarantine.unseen,
            )
    return suspects
