"""The loop of one replica: poll, embed, write online, and every few seconds a checkpoint.

In: a source, an embedder, sinks. Out: embeddings in both stores, rejects in the dead-letter topic, committed offsets.
Knows no vendor: its parts implement the Protocols of `undertow.stream.ports`.

The order of effects is the delivery guarantee. A window's embedding is written online at once. At a checkpoint, when
all online writes and dead letters so far are acknowledged, each partition's rows are appended to its chain, then its
offset is committed. A crash re-reads from the chain's end: effects are idempotent. The loop waits for neither write.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undertow.core.embedding import Embed
from undertow.core.errors import Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition, Record
from undertow.schemas.times import LAST_US
from undertow.stream import events, histogram
from undertow.stream.checkpoint import Checkpoint, CheckpointWriter, DeliveredRows, Limits
from undertow.stream.clocks import Clocks
from undertow.stream.closing import close_all
from undertow.stream.counts import Accumulator, Counts, batch_of
from undertow.stream.divergence import find_places
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.order import stamp
from undertow.stream.ports import Clock, DeadLetters, Delivery, Observed, OfflineLog, OnlineSink, Source
from undertow.stream.quarantine_order import NO_QUARANTINE, QuarantineOrder
from undertow.stream.quarantine_reader import QuarantineReader, Wait
from undertow.stream.record_marks import Mark
from undertow.stream.rejects import count_by_reason, last_by_reason, rejects_of
from undertow.stream.retry import Retry, RetryState
from undertow.stream.store_tally import Loss
from undertow.stream.store_watch import StoreWatch

LAG_EVERY_S = 0.1


class Stream:
    """Moves windows from a source into the stores. One thread owns it; others may read `counts`, `held` and `lag`."""

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
        ticks: Clock = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        give_up: Callable[[], bool] = lambda: False,
        tell: events.Listener = lambda _event: None,
        jitter: Callable[[], float] = random.random,
        quarantine: QuarantineReader | None = None,
        take_loss: Callable[[], Loss | None] = lambda: None,
        observed: Callable[[], Observed] = Observed,
    ) -> None:
        """Take ownership. `give_up` ends retries (the drain timeout); `take_loss`: see `StoreWatch`."""
        self.quarantine = quarantine or QuarantineReader()
        self._source, self._embed, self._online = source, embed, online
        self._offline, self._dead_letters, self._limits = offline, dead_letters, limits
        self._clocks, self._tell, self.observed = Clocks(clock, ticks), tell, observed
        self._sums, self.retrying = Accumulator(), RetryState()
        self._retry = Retry(clock=ticks, wait=wait, give_up=give_up, tell=tell, state=self.retrying, jitter=jitter)
        self._checkpoints = CheckpointWriter(offline, self._retry)
        self._first: dict[Partition, int] = {}  # where each chain ends
        self._next: dict[Partition, int] = {}  # the next offset to read
        self._latest: dict[int, int] = {}  # by partition: `created_us` of the last record read
        self._marks: dict[Partition, Mark] = {}  # the last record read
        self._lost: dict[Partition, int] = {}
        self._rows: list[DeliveredRows] = []
        self._held_rows = self._held_bytes = 0
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="online")
        self._writing: Future[None] | None = None
        self._watch = StoreWatch(online, self._writer, self._checkpoints, self._sums, take_loss, self._retry, tell)
        self._checkpoint_at = self._lag_at = ticks()
        self._durable_ticks: float | None = None
        self.held: frozenset[Partition] = frozenset()
        self.lag: Mapping[Partition, int] = {}

    @property
    def counts(self) -> Counts:
        """What has been counted so far. For any thread."""
        return replace(self._sums.total(), retries=self.retrying.retries)

    @property
    def ends(self) -> Mapping[Partition, tuple[int, int]]:
        """By assigned partition: the end of its chain and the next offset to read. For any thread."""
        first, taken = dict(self._first), dict(self._next)
        return {p: (end, taken.get(p, end)) for p, end in first.items()}

    @property
    def durable_at(self) -> float | None:
        """When everything read was last durable, in seconds since the epoch. For any thread."""
        ticks = self._durable_ticks
        return None if ticks is None else self._clocks.point(ticks)

    @property
    def pending(self) -> int:
        """How many rows were read that are in no part yet."""
        return sum(len(rows.offset) for rows in (*self._checkpoints.rows, *self._rows))

    def assign(self, partitions: Iterable[Partition], quarantine: QuarantineOrder = NO_QUARANTINE) -> None:
        """Read exactly these partitions, from the ends of their chains. Revoked partitions are made durable first."""
        self.quarantine.order(quarantine)
        wanted = frozenset(partitions)
        if wanted == self.held:
            return
        if self.held - wanted:
            self.checkpoint()
        ends = self._chain_ends(wanted - self.held)
        starts = {p: self._next[p] if p in self.held else ends[p] for p in sorted(wanted)}
        positions = self._retry(lambda: self._source.assign(starts))
        for partition in self.held - wanted:
            del self._first[partition], self._next[partition]
            self._lost.pop(partition, None)
            self._marks.pop(partition, None)
        for partition in wanted - self.held:
            position, start = positions[partition], starts[partition]
            self._first[partition] = position if start is None else start
            self._next[partition] = position
            if self._offline is not None:
                self._latest[partition.index] = self._offline.latest(partition)
            self._count_lost(partition, position - self._first[partition])
        self.held, self._lag_at = wanted, -LAG_EVERY_S
        self._tell(events.Assigned(positions=dict(self._next)))

    def step(self) -> bool:
        """Process one delivery, if there is one, and checkpoint when it is due. Return whether anything arrived."""
        began, timeout_s = self._clocks.now(), self._limits.poll_timeout_s
        within = self.quarantine.next_scope(self._next, timeout_s)
        delivery = None
        if not isinstance(within, Wait):
            delivery = self._retry(lambda: self._source.poll(timeout_s, within))
            self._sums.add(poll_s=self._clocks.seconds(began))
            if delivery is not None:
                self._take(delivery, {"poll": self._clocks.span(began)})
                if self.quarantine.is_quarantined(within):
                    self.checkpoint()
            self.quarantine.done()
        now = self._clocks.ticks()
        if delivery is None or now - self._lag_at >= LAG_EVERY_S:
            self.lag, self._lag_at, self.retrying.silence = dict(self._source.lag()), now, self._source.silence
            if stepped := self._clocks.step():
                self._tell(events.ClockStepped(seconds=stepped))
        self._writing = self._watch.mind(now, self._writing, self._rows, is_idle=delivery is None)
        self._finish_checkpoint(wait=False)
        if self._is_full() or now - self._checkpoint_at >= self._limits.checkpoint_seconds:
            # Wait for the checkpoint in progress only where the buffer is full: that bounds the memory.
            self._finish_checkpoint(wait=self._is_full())
            self._begin_checkpoint()
        return delivery is not None

    def checkpoint(self) -> None:
        """Make everything read so far durable, and commit it."""
        self._finish_checkpoint(wait=True)
        self._begin_checkpoint()
        self._finish_checkpoint(wait=True)
        self._settle()

    def _is_full(self) -> bool:
        return self._held_rows >= self._limits.checkpoint_rows or self._held_bytes >= self._limits.checkpoint_bytes

    def _begin_checkpoint(self) -> None:
        """Hand everything read so far to the checkpoint writer, unless it is busy."""
        if self._checkpoints.is_busy:
            return
        begun = self._clocks.now()
        self._checkpoint_at = begun.ticks
        ranges = {p: (self._first[p], n) for p, n in sorted(self._next.items()) if n > self._first[p]}
        if not ranges or not self._rows:
            self._durable_ticks = begun.ticks
            return
        lost = {p: self._lost.pop(p) for p in ranges if p in self._lost}
        latest = {p: self._latest.get(p.index, 0) for p in ranges}
        rows, marks = tuple(self._rows), dict(self._marks)
        checkpoint = Checkpoint(begun=begun, rows=rows, ranges=ranges, lost=lost, latest=latest, marks=marks)
        self._rows.clear()
        self._held_rows = self._held_bytes = 0
        self._checkpoints.begin(checkpoint, self._writing, self._source.ask_again())

    def _finish_checkpoint(self, *, wait: bool) -> None:
        """Commit the offsets that have become durable."""
        checkpoint = self._checkpoints.finish(wait=wait)
        if checkpoint is None:
            return
        self._first.update(checkpoint.next)
        self._sums.add(checkpoints=1)
        hit_failpoint("before_commit")
        try:
            self._source.commit(checkpoint.next, wait=wait or self._offline is None)
        except Unavailable:
            # The chain is the record and its echo follows with the next checkpoint; without one the echo is the record.
            if self._offline is None:
                self._retry(lambda: self._source.commit(checkpoint.next))
        hit_failpoint("after_commit")
        self._durable_ticks = checkpoint.begun.ticks
        self._sums.add(checkpoint_s=self._clocks.seconds(checkpoint.begun))
        took = self._clocks.span(checkpoint.begun)
        self._tell(events.Checkpointed(ranges=checkpoint.ranges, rows=checkpoint.count, took=took))

    def close(self) -> None:
        """Close all parts without a checkpoint, even where some fail; raise the first error. Idempotent.

        Waits for a pending write, which is retried until `give_up`.
        """
        close_all(
            lambda: self._writer.shutdown(wait=True, cancel_futures=True),
            self._checkpoints.close,
            self._source.close,
            self._online.close,
            self._dead_letters.close,
            lambda: self._tell(events.Closed()),
        )

    def _take(self, delivery: Delivery, stages: dict[str, events.TimeSpan]) -> None:
        """Embed one delivery, write its rejects as dead letters, and hand the rest to the writer."""
        decoded, records = delivery.decoded, delivery.records
        began = self._clocks.now()
        ranges = {p: (self._next.get(p, after), after) for p, after in delivery.receipt.items()}
        with self.quarantine.embedding(ranges):
            embedded = self._embed(decoded.windows)
        embed_s, stages["embed"] = self._clocks.seconds(began), self._clocks.span(began)
        if rejects := rejects_of(delivery, embedded.faults):
            self._retry(lambda: self._dead_letters.write(rejects))
            self._sums.add(rejects=count_by_reason(rejects), last_reject=last_by_reason(rejects))
            self._tell(events.Rejected(rejects=rejects))
        self._sums.add(records=len(records), batches=batch_of(len(decoded.windows)), embed_s=embed_s)
        of = decoded.record_of[embedded.rows]
        index = np.fromiter((record.partition.index for record in records), np.int64, len(records))
        offset = np.fromiter((record.offset for record in records), np.int64, len(records))
        appended_us = np.fromiter((min(record.appended_us, LAST_US) for record in records), np.int64, len(records))
        created_us, self._latest = stamp(index, appended_us, decoded.record_of, self._latest)
        embeddings = replace(embedded.embeddings, created_us=created_us[embedded.rows])
        self._settle()  # one pending write at a time: it overlaps the forward just done
        self._writing = self._writer.submit(self._write, embeddings, appended_us[of] / 1e6, records, stages)
        rows = DeliveredRows(embeddings=embeddings, partition=index[of], offset=offset[of], refused=delivery.refused)
        self._rows.append(rows)
        self._held_rows += len(of)
        self._held_bytes += rows.nbytes
        moved = {p: n for p, n in delivery.receipt.items() if p in self.held}
        offsets = sum(n - self._next[p] for p, n in moved.items())
        self._sums.add(offsets=offsets, ignored_columns=decoded.ignored_columns, odd_times=decoded.odd_times)
        self._next.update(moved)
        self._marks.update(delivery.marks)
        for partition, lost in delivery.lost.items():
            self._count_lost(partition, lost)
        for gap in delivery.gaps:
            self._count_lost(gap.reject.record.partition, gap.offsets, gap.reject.reason)
        if decoded.odd_times:
            self._tell(events.OddTimes(windows=decoded.odd_times, example=decoded.odd_time))

    def _write(
        self,
        embeddings: EmbeddingBatch,
        appended_s: NDArray[np.float64],
        records: Sequence[Record],
        stages: dict[str, events.TimeSpan],
    ) -> None:
        began = self._clocks.now()
        hit_failpoint("before_online")
        self._retry(lambda: self._online.write(embeddings))
        hit_failpoint("after_online")
        write_s, seconds = self._clocks.seconds(began), self._clocks.wall() - appended_s
        latency = histogram.of(seconds)
        ahead = int(np.count_nonzero(seconds < 0)) if latency[0] else 0  # they are all in the first bucket
        self._sums.add(windows=len(embeddings), write_s=write_s, latency=latency, clock_ahead=ahead)
        if ahead:
            self._tell(events.ClockAhead(windows=ahead, seconds=float(-seconds.min())))
        stages["write"] = self._clocks.span(began)
        self._tell(events.Taken(records=records, windows=len(embeddings), space=embeddings.space, stages=stages))

    def _settle(self) -> None:
        """Wait until the pending write is durable; raise its error."""
        if self._writing is not None:
            self._writing.result()  # after an error it stays pending, so that no checkpoint can skip it
            self._writing = None

    def _count_lost(self, partition: Partition, offsets: int, reason: str = "retention") -> None:
        """Count unreadable offsets, for the partition's next part."""
        self._lost[partition] = self._lost.get(partition, 0) + offsets
        self._sums.add(lost=offsets)
        if offsets:
            self._tell(events.Lost(partition=partition, offsets=offsets, reason=reason))

    def _chain_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        if self._offline is None:
            return dict.fromkeys(partitions)
        found = find_places(partitions, self._offline, self._source, retry=self._retry, tell=self._tell)
        self._marks.update({p: place.mark for p, place in found.items() if place and place.mark})
        return {p: None if place is None else place.next for p, place in found.items()}
