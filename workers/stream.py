"""The loop of one replica: poll, embed, write online, and every few seconds a checkpoint.

In: a source, an embedder, sinks. Out: embeddings in both stores, rejects among the dead letters, offsets committed.
Knows no vendor: what it is given keeps the promises of `workers.core.ports`.

The order of effects is the delivery guarantee. A window's embedding is written online at once. At a checkpoint, when
all online writes and dead letters so far are acknowledged, each partition's rows are appended to its chain in the
offline log, and then its offset is committed. A crash anywhere re-reads from the chain's end, and every effect is
idempotent.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.embeddings import EmbeddingBatch
from schemas.records import Partition, Reject, one_for_each_record
from workers.core import histogram
from workers.core.embedding import Embed
from workers.core.errors import Unavailable
from workers.core.failpoints import reach
from workers.core.ports import Clock, DeadLetters, Delivery, OfflineLog, OnlineSink, Part, Source

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY_S, LONGEST_DELAY_S, SAY_SO_EVERY_S = 0.05, 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how much until a checkpoint."""

    checkpoint_s: float = 2.0
    checkpoint_rows: int = 20_000
    poll_timeout_s: float = 0.1


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a stream has done since it began. Written by the loop, read by anyone."""

    windows: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    ignored_columns: int = 0
    offsets: int = 0
    """Taken from the source."""
    lost: int = 0
    """Offsets that retention deleted before they were read."""
    checkpoints: int = 0
    retries: int = 0
    blocked: str | None = None
    """Why nothing moves just now: the store or broker that is being retried."""
    latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """Append to readable: Kafka's timestamp of the record to the return of the online write."""
    poll_s: float = 0.0
    """Waiting for records included."""
    embed_s: float = 0.0
    write_s: float = 0.0
    checkpoint_s: float = 0.0
    batches: dict[int, int] = field(default_factory=dict)
    """How many deliveries had at most 2**n windows, and more than 2**(n - 1), by n."""
    durable_at: float | None = None
    """When all that had been taken was last durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Embeddings that are online but not yet in the offline log."""

    embeddings: EmbeddingBatch
    partition: NDArray[np.int64]  # (n,)
    offset: NDArray[np.int64]  # (n,)


class Stream:
    """Walks windows from a source into the stores. One thread owns it; others may read `counts`, `held` and `lag`."""

    def __init__(
        self,
        *,
        source: Source,
        embed: Embed,
        online: OnlineSink,
        offline: OfflineLog | None,
        dead_letters: DeadLetters,
        limits: Limits,
        clock: Clock = time.time,
        wait: Callable[[float], object] = time.sleep,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take ownership of the parts. `give_up` ends the retries of a store that does not answer (a drain's limit)."""
        self._source, self._embed, self._online = source, embed, online
        self._offline, self._dead_letters, self._limits = offline, dead_letters, limits
        self._clock, self._wait, self._give_up = clock, wait, give_up
        self._first: dict[Partition, int] = {}  # where each chain ends
        self._next: dict[Partition, int] = {}  # what has been taken from the source
        self._lost: dict[Partition, int] = {}
        self._rows: list[_Rows] = []
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="online")
        self._writing: Future[None] | None = None
        self._checkpoint_at = clock()
        self.counts = Counts()
        self.held: frozenset[Partition] = frozenset()
        self.lag: Mapping[Partition, int] = {}

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Read exactly these partitions from where their chains end. What is given away is durable first."""
        wanted = frozenset(partitions)
        if wanted == self.held:
            return
        if self.held - wanted:
            self.checkpoint()
        starts = {p: self._next[p] if p in self.held else self._chain_end(p) for p in sorted(wanted)}
        positions = self._keep_trying(lambda: self._source.assign(starts))
        for partition in self.held - wanted:
            del self._first[partition], self._next[partition]
            self._lost.pop(partition, None)
        for partition in wanted - self.held:
            position, start = positions[partition], starts[partition]
            self._first[partition] = position if start is None else start
            self._next[partition] = position
            self._count_lost(partition, position - self._first[partition])
        self.held = wanted

    def step(self) -> bool:
        """Take one delivery, if there is one, and checkpoint when it is time. Return whether anything arrived."""
        began = time.perf_counter()
        delivery = self._keep_trying(lambda: self._source.poll(self._limits.poll_timeout_s))
        self.counts.poll_s += time.perf_counter() - began
        if delivery is not None:
            self._take(delivery)
        self.lag = dict(self._source.lag())
        rows = sum(len(r.offset) for r in self._rows)
        if rows >= self._limits.checkpoint_rows or self._clock() - self._checkpoint_at >= self._limits.checkpoint_s:
            self.checkpoint()
        return delivery is not None

    def checkpoint(self) -> None:
        """Make all that was taken so far durable, then commit it."""
        began = time.perf_counter()
        self._make_durable()
        self.counts.checkpoint_s += time.perf_counter() - began
        self.counts.durable_at = self._clock()

    def _make_durable(self) -> None:
        self._settle()
        self._checkpoint_at = self._clock()
        moved = {p: n for p, n in sorted(self._next.items()) if n > self._first[p]}
        if not moved or not self._rows:
            return
        if self._offline is not None:
            self._append(self._offline, moved)
        self._rows.clear()
        self._first.update(moved)
        for partition in moved:
            self._lost.pop(partition, None)
        self.counts.checkpoints += 1
        reach("before_commit")
        try:
            self._source.commit(moved)
        except Unavailable:
            # The chain is the record and its echo follows with the next checkpoint; without one the echo is the record.
            if self._offline is None:
                self._keep_trying(lambda: self._source.commit(moved))
        reach("after_commit")

    def close(self) -> None:
        """Let go of everything without a checkpoint. Idempotent."""
        self._writer.shutdown(wait=True, cancel_futures=True)
        for part in (self._source, self._online, self._dead_letters):
            part.close()

    def _take(self, delivery: Delivery) -> None:
        """Embed one delivery, put its rejects away, and hand the rest to the writer."""
        decoded, records = delivery.decoded, delivery.records
        power = max(0, len(decoded.windows) - 1).bit_length()
        self.counts.batches[power] = self.counts.batches.get(power, 0) + 1
        began = time.perf_counter()
        embedded = self._embed(decoded.windows)
        self.counts.embed_s += time.perf_counter() - began
        faults = [
            Reject(record=records[decoded.record_of[fault.row]], reason=fault.reason, detail=fault.detail)
            for fault in embedded.faults
        ]
        if rejects := one_for_each_record([*decoded.rejects, *faults]):
            self._keep_trying(lambda: self._dead_letters.write(rejects))
            for reject in rejects:
                self.counts.rejects[reject.reason] = self.counts.rejects.get(reject.reason, 0) + 1
        origins = [records[i] for i in decoded.record_of[embedded.rows].tolist()]
        appended_s = np.fromiter((record.appended_us for record in origins), np.float64, len(origins)) / 1e6
        self._settle()  # one write under way at a time: it overlaps the forward just done
        self._writing = self._writer.submit(self._write, embedded.embeddings, appended_s)
        self._rows.append(
            _Rows(
                embeddings=embedded.embeddings,
                partition=np.fromiter((record.partition.index for record in origins), np.int64, len(origins)),
                offset=np.fromiter((record.offset for record in origins), np.int64, len(origins)),
            )
        )
        moved = {p: n for p, n in delivery.receipt.items() if p in self.held}
        self.counts.offsets += sum(n - self._next[p] for p, n in moved.items())
        self._next.update(moved)
        for partition, lost in delivery.lost.items():
            self._count_lost(partition, lost)
        self.counts.ignored_columns += decoded.ignored_columns

    def _write(self, embeddings: EmbeddingBatch, appended_s: NDArray[np.float64]) -> None:
        began = time.perf_counter()
        reach("before_online")
        self._keep_trying(lambda: self._online.write(embeddings))
        reach("after_online")
        self.counts.write_s += time.perf_counter() - began
        histogram.observe(self.counts.latency, np.maximum(self._clock() - appended_s, 0.0))
        self.counts.windows += len(embeddings)

    def _settle(self) -> None:
        """Wait until the write under way is durable; raise what it raised."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _append(self, offline: OfflineLog, moved: dict[Partition, int]) -> None:
        """Append one part to the chain of each partition that moved."""
        embeddings = EmbeddingBatch.concat([rows.embeddings for rows in self._rows])
        partition = np.concatenate([rows.partition for rows in self._rows])
        offset = np.concatenate([rows.offset for rows in self._rows])
        for owner, after in moved.items():
            mine = np.flatnonzero(partition == owner.index)
            part = Part(
                partition=owner,
                first=self._first[owner],
                next=after,
                embeddings=embeddings.take(mine),
                offsets=offset[mine],
                lost=self._lost.get(owner, 0),
            )
            self._keep_trying(lambda part=part: offline.publish(part))  # type: ignore[misc]  # mypy cannot infer a lambda's default

    def _count_lost(self, partition: Partition, offsets: int) -> None:
        """Remember for the partition's next part what retention deleted before we read it."""
        self._lost[partition] = self._lost.get(partition, 0) + offsets
        self.counts.lost += offsets

    def _chain_end(self, partition: Partition) -> int | None:
        return None if self._offline is None else self._offline.end(partition)

    def _keep_trying(self, act: Callable[[], T]) -> T:
        """Call until it no longer raises `Unavailable`. Nothing else is taken meanwhile: that is the backpressure."""
        delay, said_at = FIRST_DELAY_S, -SAY_SO_EVERY_S
        while True:
            try:
                result = act()
            except Unavailable as error:
                if self._give_up():
                    raise
                self.counts.blocked = str(error)
                self.counts.retries += 1
                if self._clock() - said_at >= SAY_SO_EVERY_S:
                    said_at = self._clock()
                    log.warning("trying again until it answers: %s", error)
                self._wait(delay)
                delay = min(2 * delay, LONGEST_DELAY_S)
            else:
                self.counts.blocked = None
                return result
