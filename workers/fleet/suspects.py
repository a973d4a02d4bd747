"""Which partitions replicas die of, and what is done about it: pure functions.

In: how replicas ended, what they read and how far that was durable. Out: what is to be read with care, in which steps,
and what is refused. Knows neither Ray nor Kafka, and no replica by name.

A position is where a chain ends: the next record to be read. Two ends at one position in a row make a suspect of its
partition, which is then read with care (`undertow.stream.care`): an end is then known to be of the step that began at
the position announced. The step shrinks with each such end and grows again behind what it was of. An end of one record
alone, twice (anybody may be killed once), condemns it: it is refused, and what follows is read on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from undertow.schemas.records import Partition
from undertow.stream.care import Care

STEPS = (256, 16, 1)
ENDS_OF_ONE: Mapping[str, int] = {"kills-replica": 2, "hangs": 1}
"""So many ends of one record alone condemn it; nobody hangs by chance."""
SPAN = 5_000
"""How many offsets behind the furthest known position are read with care: what the last heartbeat did not yet tell."""
FORGET_S = 600.0
"""One end so long ago is no evidence any more."""
HOPELESS = 5
"""So many records condemned before any window was embedded: the fault is the model's, and none of theirs."""

Reason = Literal["kills-replica", "hangs"]
Key = tuple[str, Partition]
"""An artifact's name, and a partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a replica ended that was not asked to, as far as it concerns one artifact and one partition."""

    key: Key
    position: int | None
    """Where the chain ended when it was last heard of; None where it was not."""
    read_to: int | None = None
    reason: Reason = "kills-replica"
    step: int = 0
    """Of a step read with care, how many records it was of; then `position` is where it began. 0 otherwise."""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """What is known of one partition for one artifact."""

    position: int | None
    ends: int
    """In a row, at this position and by this step."""
    step: int
    """0 where one end is no evidence yet: it is read as ever."""
    until: int = 0
    """To where it is read with care."""
    bad_until: int = 0
    """To where the guilty record can be, for all that is known."""
    reason: Reason = "kills-replica"
    at: float = 0.0
    refused: int | None = None
    """The position that is condemned and not passed yet."""


Suspects = Mapping[Key, Suspect]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one artifact has come in one partition."""

    key: Key
    position: int
    is_read_up: bool = False
    """Whether nothing was left to read with care."""


def decide(history: Iterable[End | Progress]) -> Suspects:
    """Return what follows of all that happened, the oldest first."""
    suspects: Suspects = {}
    for event in history:
        suspects = after_end(suspects, event) if isinstance(event, End) else after_progress(suspects, event)
    return suspects


def after_end(suspects: Suspects, end: End) -> Suspects:
    """Return what is suspected now that a replica has ended."""
    before = suspects.get(end.key)
    if end.step and before is not None and before.step:
        return {**suspects, end.key: _after_step(before, end)}
    if before is not None and before.step:
        return suspects  # it is read with care already, and this end was of something else
    return {**suspects, end.key: _after_any(before, end)}


def _after_any(before: Suspect | None, end: End) -> Suspect:
    """Return a suspect of whom nothing is known but that a replica which read it has ended."""
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


def _after_step(before: Suspect, end: End) -> Suspect:
    """Return a suspect of whom a replica has ended that read it with care."""
    position = end.position if end.position is not None else before.position or 0
    ends = before.ends + 1 if position == before.position and end.step == before.step else 1
    reason = end.reason if before.refused is None else before.reason  # of the refusal, until that is passed
    now = replace(before, position=position, reason=reason, at=end.at, bad_until=position + end.step)
    if end.step > STEPS[-1]:
        return replace(now, step=next(step for step in STEPS if step < end.step), ends=0)
    if ends < ENDS_OF_ONE[end.reason]:
        return replace(now, step=STEPS[-1], ends=ends)
    return replace(now, refused=position, reason=end.reason, step=STEPS[-1], ends=0)


def after_progress(suspects: Suspects, progress: Progress) -> Suspects:
    """Return what is still suspected now that something has become durable."""
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
        now = replace(now, refused=None, bad_until=0)
    if position >= now.bad_until:
        now = replace(now, step=STEPS[0])
    return {**rest, progress.key: now}


def care_of(suspects: Suspects) -> Care:
    """Return the order that follows: a partition is read with care for all artifacts, in the smallest of steps."""
    steps: dict[Partition, int] = {}
    for (_, partition), suspect in suspects.items():
        if suspect.step:
            steps[partition] = min(suspect.step, steps.get(partition, suspect.step))
    refused = {
        key: (suspect.refused, str(suspect.reason)) for key, suspect in suspects.items() if suspect.refused is not None
    }
    return Care(steps=steps, refused=refused)


def learn(care: Care, artifacts: Iterable[str], known: Mapping[Key, int]) -> Suspects:
    """Return what a controller that is new must have suspected when this order was given."""
    suspects: dict[Key, Suspect] = {}
    for artifact in artifacts:
        for partition, step in care.steps.items():
            key = (artifact, partition)
            refused, reason = care.refused.get(key, (None, "kills-replica"))
            position = known.get(key)
            suspects[key] = Suspect(
                position=position,
                ends=0,
                step=step,
                until=(position or refused or 0) + SPAN,
                bad_until=(position or 0) + step,
                reason="hangs" if reason == "hangs" else "kills-replica",
                refused=refused,
            )
    return suspects
