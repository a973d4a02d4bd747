"""What happens in a stream that somebody outside may want to know.

In: nothing. Out: frozen plain data, told to one function as it happens. Knows nothing of logs and traces, which are
made of it. Some are told by the threads that write.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.marks import Mark

Span = tuple[float, float]
"""When something began and ended, in seconds of the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """The stream reads exactly these partitions from now on, each from this position."""

    positions: Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery is embedded, its windows are readable online and its rejects are among the dead letters."""

    records: Sequence[Record]
    windows: int
    space: str
    stages: Mapping[str, Span]
    """By name: poll (waiting for records and decoding them), embed, write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """All that was taken is durable in both stores."""

    ranges: Mapping[Partition, tuple[int, int]]
    """Of each partition that moved, the offsets of its new part: the first, and the next after the last."""
    rows: int
    took: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """A store or the broker does not answer; told once a minute."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What was being retried has answered."""

    error: str
    """The last it had said."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """So many offsets of a partition could not be read: retention deleted them before, or they are passed over."""

    partition: Partition
    offsets: int
    reason: str = "retention"
    """Or why they were passed over: a code of `undertow.schemas.records.REASONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedBack:
    """The broker has lost records that were read (KIP-320): a partition is read again from `first` on, not `next`."""

    partition: Partition
    first: int
    next: int
    last: Mark
    """The last record that was read, and that is not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """These records are among the dead letters."""

    rejects: Sequence[Reject]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddTimes:
    """So many windows of a delivery are taken though their event time is hardly meant."""

    windows: int
    example: str
    """Whose the last one is, and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAhead:
    """So many windows were readable before the time that their records were stamped with: their latency counts as 0."""

    windows: int
    seconds: float
    """By how much at most: so far is the clock that stamps (the broker's or the producer's) ahead of ours, or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """This machine's clock was set by so many seconds, forwards or (below 0) backwards; nothing waits for it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLost:
    """The online store does not hold what was written to it."""

    reason: str
    is_ours: bool
    """Whether this replica fills it again; else another does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The online store has the newest vectors of each series in the log again."""

    series: int
    """In the log."""
    written: int
    """The others were online with the same event time or a newer one."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRestored:
    """The online store could not be filled again."""

    error: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream has let go of everything."""


Event = (
    Assigned
    | Taken
    | Checkpointed
    | Retrying
    | Recovered
    | Lost
    | TurnedBack
    | Rejected
    | OddTimes
    | ClockAhead
    | ClockStepped
    | StoreLost
    | Restored
    | NotRestored
    | Closed
)
Tell = Callable[[Event], object]
"""Told of every event; must return soon, may be called from three threads, and must not raise."""
