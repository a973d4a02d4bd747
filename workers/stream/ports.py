"""What the loop needs of the outside: a source, an online sink, an offline log, a place for dead letters.

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
from undertow.stream.care import Reach
from undertow.stream.marks import Mark, Place

Clock = Callable[[], float]
"""Seconds; `time.time` where the epoch matters, `time.monotonic` where only differences do."""

Offsets = Mapping[Partition, int]
"""An offset is always the next one to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Offsets that are passed over, since what lies there cannot be unpacked."""

    reject: Reject
    """What lies there, as it is; its offset is the first of the gap."""
    next: int

    @property
    def offsets(self) -> int:
        """How many."""
        return self.next - self.reject.record.offset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Delivery:
    """What one poll brought."""

    records: Sequence[Record]
    decoded: Decoded
    receipt: Offsets
    """The positions that become safe to commit when all of this delivery is durable. It can move without any record
    (transaction markers, compacted offsets), so it comes from the consumer's position, not from the last record."""
    lost: Offsets = field(default_factory=dict)
    """How many offsets retention deleted, by partition, after the last delivery and before this one could be read."""
    gaps: Sequence[Gap] = ()
    """What was passed over before the receipt's positions."""
    marks: Mapping[Partition, Mark] = field(default_factory=dict)
    """The last record of each partition that brought one which can be known again."""


class Source(Protocol):
    """Where windows come from. One thread owns it."""

    @property
    def silence(self) -> str | None:
        """For how long the broker has not answered, in words; None where it does. As the last poll saw it."""

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each.

        A partition kept keeps its position and its start is not looked at. None starts at the committed offset, unless
        it was committed for another view, else at the earliest. A start that retention has overtaken begins at the
        earliest: the position returned is then larger. A committed offset that it has overtaken is returned as it is:
        the first delivery tells what was lost. Raises `Unavailable`, or `Refused` where a start lies beyond the end (a
        topic made anew).
        """

    def poll(self, timeout_s: float, reach: Reach | None = None) -> Delivery | None:
        """Return what has arrived, or None after `timeout_s`; never blocks longer. Raises `Unavailable`, `Diverged`.

        With a `reach` no more is brought than it says, and the rest is brought by a later poll.
        """

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Echo durable positions to the broker for lag tools. Idempotent. Raises `Unavailable`.

        Without `wait` it returns before the broker has answered, and what it answers is raised by the next commit.
        """

    def ask_again(self) -> Callable[[], None]:
        """Begin to ask whether all that was delivered is of the log that was assigned. Does not block.

        What is returned waits for the answer and may be called by another thread; it raises `Refused` where it is of
        another, a topic made anew. No answer is none: it returns.
        """

    def holds(self, marks: Mapping[Partition, Mark]) -> Mapping[Partition, bool | None]:
        """Return whether each record is there unchanged; None where that cannot be told: retention has deleted it.

        Raises `Unavailable`, `Refused` where a record is gone or another since the topic was made anew.
        """

    def begins(self, partition: Partition) -> int:
        """Return the first offset of a partition that there is. Raises `Unavailable`."""

    def lag(self) -> Offsets:
        """Return, for each assigned partition, how many offsets lie between our position and the end. May be stale."""

    def close(self) -> None:
        """Let go without committing. Idempotent."""


class OnlineSink(Protocol):
    """The newest embedding of each series, for look-ups."""

    def write(self, batch: EmbeddingBatch) -> int:
        """Make the batch readable; return the rows that were written.

        Durable on return and idempotent: of each series the newest event time wins, of equal times the greatest
        `created_us`, atomically, whatever the order of calls and callers: what is online is what the history has last.
        An equal pair is the same row and is left as it is. A row whose `created_us` is not known, since an earlier
        version or somebody else wrote it, comes before all others of its event time. Raises `Unavailable`; any part may
        then have been written, and the same call may be made again.
        """

    def look(self) -> None:
        """Look whether the store still holds what was written, and tell whoever was named for it where it does not.

        For a store that nothing is written to: a write looks by itself. Raises `Unavailable`.
        """

    def check(self) -> None:
        """Return where the store can be written now. Raises `Unavailable`, or `Refused` where it lacks the view."""

    def close(self) -> None:
        """Let go. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What a replica appends to one partition's chain: the embeddings of the records `first <= offset < next`."""

    partition: Partition
    first: int
    """The position that the owner began to read from: where the chain ended."""
    next: int
    embeddings: EmbeddingBatch
    """May be empty: rejects alone move a chain too."""
    offsets: NDArray[np.int64]
    """(n,) the offset that each row came from."""
    created_us: int = 0
    """Of the last record before `next`, refused ones included: what comes later in the chain has a greater one."""
    lost: int = 0
    """Offsets that could not be read: retention deleted them before, or they were passed over."""
    mark: Mark | None = None
    """The last record before `next`."""


class OfflineLog(Protocol):
    """The history of all embeddings, and the record of progress: one chain of parts for each partition."""

    def end(self, partition: Partition) -> int | None:
        """Return where the chain ends, None where there is none.

        Raises `Refused` for a chain of another topic id, `Unavailable` where it cannot be read now.
        """

    def latest(self, partition: Partition) -> int:
        """Return the `created_us` that the chain ends with, as `end` or `publish` has last seen it; 0 where none is."""

    def places(self, partition: Partition) -> Iterable[Place]:
        """Return where the parts of a chain end, the newest first, but for those that it has turned back from."""

    def turn_back(self, partition: Partition, place: Place) -> None:
        """Let the chain go on from an earlier place, durably: what comes is read once more.

        Raises as `publish` does.
        """

    def publish(self, part: Part) -> None:
        """Append. Durable on return. Raises `Replaced` where a part already begins there, `Unavailable` (disk full)."""


class DeadLetters(Protocol):
    """Where refused records go."""

    def write(self, rejects: Iterable[Reject]) -> None:
        """Return when all are acknowledged. At-least-once. Raises `Unavailable`."""

    def close(self) -> None:
        """Let go. Idempotent."""
