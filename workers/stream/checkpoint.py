"""The checkpoint of one replica: append embeddings to the offline log in a thread beside the loop.

In: rows that are online or about to be, and how far each partition was read. Out: parts in the chains. Knows neither
where windows come from nor how a durable offset is committed.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.stream.clocks import ClockReading
from undertow.stream.ports import ChainPart, OfflineLog
from undertow.stream.record_marks import Mark, RefusedRecord

T = TypeVar("T")


class RetryCall(Protocol):
    """Retries an operation until it no longer raises `Unavailable`."""

    def __call__(self, act: Callable[[], T]) -> T:
        """Return its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to checkpoint: after how long, and after how much data."""

    checkpoint_seconds: float
    checkpoint_rows: int = 20_000
    checkpoint_bytes: int = 64 << 20
    poll_timeout_s: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredRows:
    """The embeddings of one delivery, for the offline log."""

    embeddings: EmbeddingBatch
    partition: NDArray[np.int64]  # (n,)
    offset: NDArray[np.int64]  # (n,)
    refused: Sequence[tuple[Partition, RefusedRecord]] = ()
    """See `Delivery.refused`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the vectors take."""
        return sum(vectors.nbytes for vectors in self.embeddings.features.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The data that one checkpoint makes durable."""

    begun: ClockReading
    rows: Sequence[DeliveredRows]
    ranges: Mapping[Partition, tuple[int, int]]
    """Of each partition that moved, where its chain ends and where it will end."""
    lost: Mapping[Partition, int]
    """Number of offsets that could not be read, by partition and reason."""
    latest: Mapping[Partition, int]
    """`created_us` of the last record of each partition."""
    marks: Mapping[Partition, Mark]
    """The last record of each partition."""

    @property
    def next(self) -> dict[Partition, int]:
        """The offsets to commit once it is durable."""
        return {partition: after for partition, (_, after) in self.ranges.items()}

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(len(rows.offset) for rows in self.rows)


class CheckpointWriter:
    """Appends one checkpoint at a time in a thread of its own. The thread that begins one also finishes it."""

    def __init__(self, offline: OfflineLog | None, retry: RetryCall) -> None:
        """Where `offline` is None a checkpoint is durable when its online writes are."""
        self._offline, self._retry = offline, retry
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline")
        self._under_way: tuple[Checkpoint, Future[None]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is in progress."""
        return self._under_way is not None

    @property
    def rows(self) -> Sequence[DeliveredRows]:
        """The rows of the checkpoint in progress, which may not be durable yet."""
        if self._under_way is None:
            return ()
        checkpoint, done = self._under_way
        return () if done.done() and not done.cancelled() and done.exception() is None else checkpoint.rows

    def begin(self, checkpoint: Checkpoint, online: Future[None] | None, require_same: Callable[[], None]) -> None:
        """Append it after `online`, the pending online write, if any, is acknowledged. Only one may be in progress.

        `require_same` raises where the topic was re-created, so that the records read are not those of these offsets.
        """
        self._under_way = checkpoint, self._thread.submit(self._keep, checkpoint, online, require_same)

    def finish(self, *, wait: bool) -> Checkpoint | None:
        """Return the checkpoint that has become durable, if any. Raises its error, on every call."""
        if self._under_way is None or not (wait or self._under_way[1].done()):
            return None
        checkpoint, done = self._under_way
        done.result()  # after an error it stays in progress for ever: its rows must not be missing from a later part
        self._under_way = None
        return checkpoint

    def close(self) -> None:
        """Wait for the checkpoint in progress. Idempotent."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _keep(self, checkpoint: Checkpoint, online: Future[None] | None, require_same: Callable[[], None]) -> None:
        require_same()
        if online is not None:
            online.result()  # what is offline is online: a failed write must not be overtaken by its offset
        if (offline := self._offline) is not None:
            for part in parts_of(checkpoint):
                self._retry(lambda part=part: offline.publish(part))  # type: ignore[misc]  # mypy cannot infer a lambda's default


def parts_of(checkpoint: Checkpoint) -> list[ChainPart]:
    """Return one part for the chain of each partition that moved, some without rows: rejects move a chain too."""
    embeddings = EmbeddingBatch.concat([rows.embeddings for rows in checkpoint.rows])
    refused = [one for rows in checkpoint.rows for one in rows.refused]
    partition = np.concatenate([rows.partition for rows in checkpoint.rows])
    offset = np.concatenate([rows.offset for rows in checkpoint.rows])
    parts = []
    for owner, (first, after) in checkpoint.ranges.items():
        mine = np.flatnonzero(partition == owner.index)
        parts.append(
            ChainPart(
                partition=owner,
                first=first,
                next=after,
                embeddings=embeddings.take(mine),
                offsets=offset[mine],
                created_us=checkpoint.latest[owner],
                lost=checkpoint.lost.get(owner, 0),
                mark=checkpoint.marks.get(owner),
                refused=tuple(one for whose, one in refused if whose == owner),
            )
        )
    return parts
