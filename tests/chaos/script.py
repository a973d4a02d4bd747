"""What goes wrong, and when: a pure function of a seed.

In: a seed, how many faults. Out: timed faults. Knows nothing of how a fault is made.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.faults import ControllerKilled, DriverKilled, Fault, KilledAtPoint, StoppedAtPoint
from tests.chaos.folds import MaintainerKilled, MaintainerStopped
from tests.chaos.kinds import EVERY_KIND
from tests.chaos.outages import BrokerRestarted, DiskFull, RedisFull, RetentionOvertook
from tests.chaos.poison import Bomb, CorruptBatch, FatalValue
from tests.chaos.snapshots import KilledInSnapshot, SnapshotDamaged, SnapshotsGone


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One fault of the script."""

    after_s: float
    """How long all must have been well before it."""
    fault: Fault
    lasts_s: float


def write_script(seed: int, faults: int, kinds: Sequence[type[Fault]] = EVERY_KIND) -> tuple[Timed, ...]:
    """Return so many faults, in rounds: each kind once in every round that it comes in, in an order of its own."""
    rng = random.Random(seed)
    script: list[Timed] = []
    number = 0
    while len(script) < faults:
        coming = [kind for kind in kinds if number % kind.every == 0 and not _is_over(kind, number)]
        round_ = [kind.draw(rng) for kind in rng.sample(coming, len(coming))]
        script += [_time(fault, rng) for fault in round_]
        number += 1
    return tuple(script[:faults])


def script_of(kind: type[Fault], seed: int, faults: int) -> tuple[Timed, ...]:
    """Return so many faults of one kind, to look at it alone."""
    rng = random.Random(seed)
    return tuple(_time(kind.draw(rng), rng) for _ in range(faults))


def _time(fault: Fault, rng: random.Random) -> Timed:
    return Timed(after_s=rng.uniform(0.1, 0.6), fault=fault, lasts_s=rng.uniform(0.1, 1.0) * fault.longest_s)


def _is_over(kind: type[Fault], number: int) -> bool:
    """Whether a kind has come as often as it may before the round of this number."""
    return kind.at_most is not None and number // kind.every >= kind.at_most


def brief_script(*, observes: bool = False) -> tuple[Timed, ...]:
    """Return the faults that every test run goes through: what nothing else in the suite shows."""
    observed = (
        KilledInSnapshot("after_fsync_of_snapshot"),
        SnapshotDamaged(ways=("flipped",)),
        RetentionOvertook(),
        FatalValue(),
        SnapshotsGone(),
        DriverKilled(),
    )
    streamed = (
        KilledAtPoint("before_commit"),
        StoppedAtPoint("before_commit"),
        StoppedAtPoint("after_fsync"),
        RetentionOvertook(),
        ControllerKilled(),
        RedisFull(),
        DiskFull(),
        BrokerRestarted(),
        DriverKilled(),
        Bomb(),
        CorruptBatch(),
        MaintainerKilled("after_fold_files"),
        MaintainerStopped("after_fold_commit", is_beside=True),
    )
    # A stopped replica sleeps for longer than the heartbeat's 3 s, so that it wakes beside its successor.
    stops, faults = (StoppedAtPoint, MaintainerStopped), observed if observes else streamed
    return tuple(Timed(after_s=0.5, fault=fault, lasts_s=5.0 if isinstance(fault, stops) else 1.0) for fault in faults)
