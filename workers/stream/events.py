"""The events of a stream: plain data for logs, traces and statuses.

In: nothing. Out: frozen plain data, passed to one callback as it happens. Knows nothing of the logs and traces that
are made from it. Some events come from the threads that write.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.record_marks import Mark

TimeSpan = tuple[float, float]
"""Start and end in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """The stream reads exactly these partitions from now on, each from this position."""

    positions: Mapping[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery is embedded: its windows are readable online, its rejects are in the dead-letter topic."""

    records: Sequence[Record]
    windows: int
    space: str
    stages: Mapping[str, TimeSpan]
    """By stage: poll (waiting for records and decoding them), embed, write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """Everything read so far is durable in both stores."""

    ranges: Mapping[Partition, tuple[int, int]]
    """By partition that advanced, the offsets of its new part: the first, and the next after the last."""
    rows: int
    took: TimeSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """A store or the broker is unavailable; emitted once a minute."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """An operation that was being retried has succeeded."""

    error: str
    """The last error."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Offsets of a partition could not be read: retention deleted them before, or they were skipped."""

    partition: Partition
    offsets: int
    reason: str = "retention"
    """Why: `retention`, or a code of `undertow.schemas.records.REASONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedBack:
    """The broker has lost records that were read (KIP-320): a partition is read from `first` again, not from `next`."""

    partition: Partition
    first: int
    next: int
    last: Mark
    """The last record that was read, which the broker no longer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """These records are in the dead-letter topic."""

    rejects: Sequence[Reject]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddTimes:
    """Windows of a delivery were accepted with an implausible event time."""

    windows: int
    example: str
    """The series of the last one, and its event time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAhead:
    """Windows were readable before their record's timestamp; their latency counts as 0."""

    windows: int
    seconds: float
    """The largest difference: the stamping clock (broker's or producer's) is ahead of ours by at least this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """This machine's wall clock was stepped forwards or (below 0) backwards; nothing depends on it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLost:
    """The online store does not hold what was written to it."""

    reason: str
    is_ours: bool
    """Whether this replica restores it; else another does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The online store has the newest vectors of every series in the log again."""

    series: int
    """In the log."""
    written: int
    """Rows written; the others were online with the same event time or a newer one."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRestored:
    """The online store could not be restored."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """What raw observations before a position have said is held: they were read once more, and nothing made of them."""

    partitions: Sequence[Partition]
    offsets: int
    """How many were read."""
    series: int
    """How many are held now, of all partitions."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWarm:
    """Observations before a position are no longer in the topic, so what they have said is not held."""

    partition: Partition
    offsets: int
    """How many are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshotted:
    """What is held of a partition's observations is written down."""

    partition: Partition
    next: int
    series: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFailed:
    """A snapshot could not be written, or is damaged: the topic is read again from an older one, or its beginning."""

    partition: Partition
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesForgotten:
    """Series are held no more, as `undertow forget` has asked."""

    partition: Partition
    series: int
    """How many were held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunAnew:
    """Series begin anew behind a record that was refused in quarantine: windows of theirs reach back to it at most."""

    record: str
    """Its place, as topic-partition@offset."""
    series: int
    """How many it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsLeftOut:
    """Windows of raw observations are not made, though their cells are closed."""

    windows: int
    reason: str
    """In words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """A series was seen in two partitions, so each has a part of its observations."""

    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRead:
    """The topic of what is known ahead (`windows.known_topic`) was read from its beginning to its end."""

    records: int
    rows: int
    """How many are held: of each series and time the newest."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPassedOver:
    """Rows of the topic of what is known ahead by which nothing is known."""

    rows: int
    example: str
    """Where one is, and what was expected and found."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream has closed all its resources."""


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
    | Warmed
    | NotWarm
    | Snapshotted
    | SnapshotFailed
    | SeriesForgotten
    | BegunAnew
    | WindowsLeftOut
    | Astray
    | KnownRead
    | KnownPassedOver
    | Closed
)
Listener = Callable[[Event], object]
"""Called with every event; must return soon, be safe for three threads at once, and not raise."""
