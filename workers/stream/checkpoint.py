"""The checkpoint of one replica: what is online becomes durable in the offline log, beside the loop.

In: rows that are online or about to be, and how far each partition was read. Out: parts in the chains. Knows neither
where windows come from nor what is done with an offset that has become durable.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.stream.clocks import Moment
from undertow.stream.marks import Mark
from undertow.stream.ports import OfflineLog, Part

T = TypeVar("T")


class KeepTrying(Protocol):
    """Calls an act until it no longer raises `Unavailable`."""

    def __call__(self, act: Callable[[], T]) -> T:
        """Return its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how much until a checkpoint."""

    checkpoint_s: float = 2.0
    checkpoint_rows: int = 20_000
    checkpoint_bytes: int = 64 << 20
    poll_timeout_s: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Embeddings of one delivery, for the offline log."""

    embeddings: EmbeddingBatch
    partition: NDArray[np.int64]  # (n,)
    offset: NDArray[np.int64]  # (n,)

    @property
    def nbytes(self) -> int:
        """How much memory the vectors take."""
        return sum(vectors.nbytes for vectors in self.embeddings.features.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What one checkpoint makes durable."""

    begun: Moment
    rows: Sequence[Rows]
    ranges: Mapping[Partition, tuple[int, int]]
    """Of each partition that moved, where its chain ends and where it will end."""
    lost: Mapping[Partition, int]
    """Offsets that could not be read."""
    latest: Mapping[Partition, int]
    """`created_us` of the last record of each."""
    marks: Mapping[Partition, Mark]
    """The last record of each."""

    @property
    def next(self) -> dict[Partition, int]:
        """The offsets to commit when it is durable."""
        return {partition: after for partition, (_, after) in self.ranges.items()}

    @property
    def count(self) -> int:
        """How many rows."""
        return sum(len(rows.offset) for rows in self.rows)


class Keeper:
    """Appends one checkpoint at a time in a thread of its own. The thread that begins one also finishes it."""

    def __init__(self, offline: OfflineLog | None, keep_trying: KeepTrying) -> None:
        """Without an offline log a checkpoint is durable when its online writes are."""
        self._offline, self._keep_trying = offline, keep_trying
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline")
        self._under_way: tuple[Checkpoint, Future[None]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint has begun that was not finished."""
        return self._under_way is not None

    @property
    def rows(self) -> Sequence[Rows]:
        """What is under way, and may not be durable yet."""
        return self._under_way[0].rows if self._under_way else ()

    def begin(self, checkpoint: Checkpoint, online: Future[None] | None, require_same: Callable[[], None]) -> None:
        """Append it, once the online write under way, if any, is acknowledged. Not while another is under way.

        `require_same` raises where what was read is of another log than its offsets are to be kept for.
        """
        self._under_way = checkpoint, self._thread.submit(self._keep, checkpoint, online, require_same)

    def finish(self, *, wait: bool) -> Checkpoint | None:
        """Return the checkpoint that has become durable, if there is one; raise what stood in its way, every time."""
        if self._under_way is None or not (wait or self._under_way[1].done()):
            return None
        checkpoint, done = self._under_way
        done.result()  # after an error it stays under way for ever: its rows must not be missing from a later part
        self._under_way = None
        return checkpoint

    def close(self) -> None:
        """Let what is under way end. Idempotent."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _keep(self, checkpoint: Checkpoint, online: Future[None] | None, require_same: Callable[[], None]) -> None:
        require_same()
        if online is not None:
            online.result()  # what is offline is online: a failed write must not be overtaken by its offset
        if (offline := self._offline) is not None:
            for part in parts_of(checkpoint):
                self._keep_trying(lambda part=part: offline.publish(part))  # type: ignore[misc]  # mypy cannot infer a lambda's default


def parts_of(checkpoint: Checkpoint) -> list[Part]:
    """Return one part for the chain of each partition that moved, some without rows: rejects move a chain too."""
    embeddings = EmbeddingBatch.concat([rows.embeddings for rows in checkpoint.rows])
    partition = np.concatenate([rows.partition for rows in checkpoint.rows])
    offset = np.concatenate([rows.offset for rows in checkpoint.rows])
    parts = []
    for owner, (first, after) in checkpoint.ranges.items():
        mine = np.flatnonzero(partition == owner.index)
        parts.append(
            Part(
                partition=owner,
                first=first,
                next=after,
                embeddings=embeddings.take(mine),
                offsets=offset[mine],
                created_us=checkpoint.latest[owner],
                lost=checkpoint.lost.get(owner, 0),
                mark=checkpoint.marks.get(owner),
            )
        )
    return parts
