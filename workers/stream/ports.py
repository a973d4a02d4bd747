"""The ports of the loop: source, online sink, offline log and dead letters.

In: plain values. Out: Protocols, each with at least two implementations in `undertow.adapters`. Knows no vendor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.decoded import Decoded
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.quarantine_order import PollScope
from undertow.stream.record_marks import ChainEnd, Mark, RefusedRecord

Clock = Callable[[], float]
"""Returns seconds: `time.time` where the epoch matters, `time.monotonic` where only differences do."""

Offsets = Mapping[Partition, int]
"""By partition, the next offset to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Offsets that are skipped, since their record batch cannot be read."""

    reject: Reject
    """The raw content; its offset is the first of the gap."""
    next: int

    @property
    def offsets(self) -> int:
        """Number of offsets."""
        return self.next - self.reject.record.offset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """The result of one poll."""

    records: Sequence[Record]
    decoded: Decoded
    receipt: Offsets
    """The positions that become safe to commit when all of this delivery is durable. It can move without any record
    (transaction markers, compacted offsets), so it comes from the consumer's position, not from the last record."""
    lost: Offsets = field(default_factory=dict)
    """By partition, the number of offsets that retention deleted between the last delivery and this one."""
    gaps: Sequence[Gap] = ()
    """Offsets skipped before the receipt's positions."""
    marks: Mapping[Partition, Mark] = field(default_factory=dict)
    """The mark of the last record of each partition, where it has one."""
    refused: Sequence[tuple[Partition, RefusedRecord]] = ()
    """The records that were refused in quarantine, if what is held later depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a source holds of raw observations; nothing, where records hold windows."""

    series: int = 0
    bytes: int = 0
    """Of memory."""
    file_bytes: int = 0
    """Of files (`windows.held_path`), which take memory as far as there is some."""
    waiting: int = 0
    """Observations whose grid points are not closed yet: a later one of their series closes them."""
    waiting_series: int = 0
    """How many series these are of."""
    by_partition: Mapping[Partition, int] = field(default_factory=dict)
    """The number of series, by partition."""

    def __add__(self, other: "Observed") -> "Observed":
        """Return what both hold."""
        both = {*self.by_partition, *other.by_partition}
        return Observed(
            series=self.series + other.series,
            bytes=self.bytes + other.bytes,
            file_bytes=self.file_bytes + other.file_bytes,
            waiting=self.waiting + other.waiting,
            waiting_series=self.waiting_series + other.waiting_series,
            by_partition={p: self.by_partition.get(p, 0) + other.by_partition.get(p, 0) for p in both},
        )


class Source(Protocol):
    """The source of windows. One thread owns it."""

    @property
    def silence(self) -> str | None:
        """For how long the broker has not answered, in words; None where it does. Updated by `poll`."""

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each.

        A retained partition keeps its position, whatever its start. None starts at the committed offset, unless it was
        committed for another view, else at the earliest. A start that retention has deleted begins at the earliest: the
        position returned is then larger. A committed offset that it has deleted is returned unchanged: the first
        delivery reports the loss. Raises `Unavailable`, or `Refused` where a start is beyond the end (a re-created
        topic).
        """

    def poll(self, timeout_s: float, scope: PollScope | None = None) -> Delivery | None:
        """Return new records, or None after `timeout_s`; never blocks longer. Raises `Unavailable`, `Diverged`.

        A `scope` limits the records returned; a later poll returns the rest.
        """

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Commit durable offsets to the broker, for lag tools. Idempotent. Raises `Unavailable`.

        Without `wait` it returns before the broker has answered, and the next commit raises the error, if any.
        """

    def ask_again(self) -> Callable[[], None]:
        """Begin to check that all deliveries came from the topic that was assigned. Does not block.

        The function returned waits for the answer, in any thread; it raises `Refused` where the topic was re-created.
        Where the broker does not answer, it returns.
        """

    def holds(self, marks: Mapping[Partition, Mark]) -> Mapping[Partition, bool | None]:
        """Return whether each record is unchanged in the broker; None where unknown: retention has deleted it.

        Raises `Unavailable`, `Refused` where a record is gone or different because the topic was re-created.
        """

    def begins(self, partition: Partition) -> int:
        """Return the earliest offset of a partition. Raises `Unavailable`."""

    def lag(self) -> Offsets:
        """Return the lag of each assigned partition: offsets between our position and the end. May be stale."""

    def close(self) -> None:
        """Close without committing. Idempotent."""


class OnlineSink(Protocol):
    """The newest embedding of each series, for lookups."""

    def write(self, batch: EmbeddingBatch) -> int:
        """Make the batch readable; return the number of rows written.

        Durable on return and idempotent: of each series the newest event time wins, of equal times the greatest
        `created_us`, atomically, whatever the order of calls and callers: online is what the history has last.
        An equal pair is the same row and is not written. A row of unknown `created_us`, which an earlier version or
        another program wrote, is older than all others of its event time. Raises `Unavailable`; any part may then
        have been written, and the call may be retried.
        """

    def look(self) -> None:
        """Check that the store has not lost data; report a loss to the callback it was opened with.

        For an idle store: a write checks by itself. Raises `Unavailable`.
        """

    def check(self) -> None:
        """Check that the store can be written. Raises `Unavailable`, or `Refused` where it lacks the view."""

    def close(self) -> None:
        """Let go. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainPart:
    """A part of one partition's chain: the embeddings of the records `first <= offset < next`."""

    partition: Partition
    first: int
    """The first offset covered: the end of the chain before."""
    next: int
    embeddings: EmbeddingBatch
    """May be empty: rejects alone advance a chain too."""
    offsets: NDArray[np.int64]
    """(n,) the offset of each row's record."""
    created_us: int = 0
    """`created_us` of the last record before `next`, rejected or not: later ones in the chain are greater."""
    lost: int = 0
    """Number of offsets that could not be read: retention deleted them before, or they were skipped."""
    mark: Mark | None = None
    """The last record before `next`."""
    refused: tuple[RefusedRecord, ...] = ()
    """See `ChainEnd.refused`."""


class OfflineLog(Protocol):
    """The history of all embeddings, and the record of progress: one chain of parts for each partition."""

    def end(self, partition: Partition) -> int | None:
        """Return the end of the chain, None where there is none.

        Raises `Refused` for a chain of another topic id, or `Unavailable`.
        """

    def latest(self, partition: Partition) -> int:
        """Return the last `created_us` of the chain, as of the last `end` or `publish`; 0 without a chain."""

    def places(self, partition: Partition) -> Iterable[ChainEnd]:
        """Return the ends of a chain's parts, newest first, except those it has turned back from."""

    def turn_back(self, partition: Partition, place: ChainEnd) -> None:
        """Durably continue the chain from an earlier place, from which the partition is read again.

        Raises as `publish` does.
        """

    def publish(self, part: ChainPart) -> None:
        """Append; durable on return. Raises `Replaced` where a part already begins there, `Unavailable` (disk full)."""


class DeadLetters(Protocol):
    """The destination of rejected records."""

    def write(self, rejects: Iterable[Reject]) -> None:
        """Write and return when all are acknowledged. At-least-once. Raises `Unavailable`."""

    def close(self) -> None:
        """Let go. Idempotent."""
