"""When what is held of a partition's observations is copied, and when the copy is written.

In: what was read and what has become durable, of each partition; requests to forget. Out: snapshots, and events. Knows
no source, and not where snapshots lie.

1. Every `offline.snapshot_seconds` what is held of a partition is copied, as it is after a delivery.
2. A copy is written when a checkpoint has made durable what was read by then: a chain never ends before its snapshots,
   unless it was turned back, and then the mark of the last record tells that a snapshot is of records that are gone.
3. A partition that is given away or closed is written at once, if all of it is durable.
4. Series that are to be forgotten are let go of, and the partition is copied without them. When that snapshot is
   written the older ones are rewritten, and the request is deleted: what is read again after a crash lies behind it.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from undertow.core.errors import Refused, UndertowError
from undertow.observations.held_snapshot import Frozen, freeze, read_about
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.records import Partition
from undertow.stream.events import Listener, SeriesForgotten, SnapshotFailed, Snapshotted
from undertow.stream.forget_watch import ForgetWatch
from undertow.stream.ports import Clock, Offsets
from undertow.stream.record_marks import Mark
from undertow.stream.snapshot_ports import ForgetRequest, ForgetRequests, Snapshots


@dataclass(slots=True, kw_only=True)
class _Kept:
    """One partition that is read."""

    position: int
    """The next offset to read."""
    copied_at: float
    """When it was last copied, in seconds."""
    copied_to: int
    """The position at which it was, or that of the snapshot that was read; -1 to have it copied in any case."""
    mark: Mark | None = None
    """The last record read."""
    durable: int = -1
    forgotten: tuple[ForgetRequest, ...] = ()
    """Requests whose series are held no more, and may be in snapshots."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Copy:
    """What was held of a partition when everything before `next` had been read."""

    partition: Partition
    next: int
    mark: Mark
    frozen: Frozen
    forgotten: tuple[ForgetRequest, ...] = ()
    """Requests that it fulfils."""


class SnapshotWriter:
    """Keeps the snapshots of what one stream holds. One thread owns it; another, its own, writes."""

    def __init__(
        self,
        series: StreamedSeries,
        snapshots: Snapshots,
        requests: ForgetRequests,
        *,
        identity: str,
        snapshot_seconds: float,
        tell: Listener,
        ticks: Clock,
    ) -> None:
        """Keep nothing yet. `identity` differs where a snapshot would have another meaning, or be of another topic."""
        self._series, self._snapshots, self._identity = series, snapshots, identity
        self._snapshot_seconds, self._tell, self._ticks = snapshot_seconds, tell, ticks
        self._kept: dict[Partition, _Kept] = {}
        self._copy: _Copy | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshots")
        self._writing: Future[None] | None = None
        self._failed: set[Partition] = set()  # of which a copy was not written: it is made again when it is due
        self._watch = ForgetWatch(requests, snapshots, self._writer, tell=tell, ticks=ticks)

    @property
    def positions(self) -> Offsets:
        """The next offset to read of each partition that is kept. For any thread."""
        return {partition: kept.position for partition, kept in self._kept.copy().items()}

    def begin(self, partition: Partition, position: int, *, snapshot_next: int, is_due: bool) -> None:
        """Keep a partition, whose newest snapshot is of everything before `snapshot_next`."""
        copied_at = self._ticks() - (self._snapshot_seconds if is_due else 0.0)
        self._kept[partition] = _Kept(position=position, copied_at=copied_at, copied_to=snapshot_next)

    def move(self, receipt: Offsets, marks: Mapping[Partition, Mark], *, is_due: bool) -> None:
        """Note what was read; it `is_due` to be copied at once where it must not be read once more."""
        for partition, position in receipt.items():
            self._kept[partition].position = position
            if is_due:
                self._kept[partition].copied_at, self._kept[partition].copied_to = -self._snapshot_seconds, -1
        for partition, mark in marks.items():
            self._kept[partition].mark = mark
        if requests := self._watch.heard(self._kept):
            self._forget(requests)
        self._copy_one()

    def settle(self, offsets: Offsets) -> None:
        """Write what was copied of what is durable now."""
        for partition, position in offsets.items():
            if partition in self._kept:
                self._kept[partition].durable = position
        self._write_what_is_durable()

    def end(self, partition: Partition) -> None:
        """Keep a partition no more: write what is held of it, if all that was read is durable and in no snapshot."""
        kept = self._kept.pop(partition)
        if (copy := self._copy) is not None and copy.partition == partition:
            kept.forgotten += copy.forgotten
            self._copy = None
        copied_to = -1 if partition in self._failed else kept.copied_to
        self._failed.discard(partition)
        if kept.durable == kept.position > copied_to and kept.mark is not None:
            if self._writing is not None:
                wait([self._writing])  # of one at a time, since a copy takes memory
            self._submit(self._copied(partition, kept, kept.mark))
        else:
            self._watch.put_back(kept.forgotten)

    def close(self) -> None:
        """End all partitions, and wait for what is being written. Idempotent."""
        for partition in [*self._kept]:
            self.end(partition)
        self._writer.shutdown(wait=True)

    def _forget(self, requests: Sequence[ForgetRequest]) -> None:
        is_gone = np.zeros(len(self._series.held), np.bool_)
        for request in requests:
            places = self._series.held.find(request.keys)
            places = places[places >= 0]
            held = int(np.count_nonzero(~is_gone[places]))
            is_gone[places] = True
            self._tell(SeriesForgotten(partition=request.partition, series=held))
        self._series.forget(np.concatenate([request.keys for request in requests]))  # at once: all others are moved
        for request in requests:
            kept = self._kept[request.partition]
            if kept.mark is None:  # nothing was read since it was assigned: no later snapshot can be made yet
                self._writer.submit(self._watch.answer, (request,))
                continue
            kept.forgotten += (request,)  # a copy that waits for its checkpoint has them; it is rewritten with others
            kept.copied_at, kept.copied_to = self._ticks() - self._snapshot_seconds, -1

    def _copy_one(self) -> None:
        """Copy what is held of one partition, if that is due: of one at a time, since the copy takes memory."""
        if self._copy is not None or (self._writing is not None and not self._writing.done()):
            return
        now = self._ticks()
        while self._failed:
            if (kept := self._kept.get(self._failed.pop())) is not None:
                kept.copied_to = -1
        due = [
            (kept.copied_at, partition)
            for partition, kept in self._kept.items()
            if now - kept.copied_at >= self._snapshot_seconds and kept.position > kept.copied_to and kept.mark
        ]
        if due:
            partition = min(due)[1]
            kept = self._kept[partition]
            kept.copied_at, kept.copied_to = now, kept.position
            assert kept.mark is not None  # noqa: S101 for the type checker
            self._copy = self._copied(partition, kept, kept.mark)
            self._write_what_is_durable()

    def _write_what_is_durable(self) -> None:
        if (copy := self._copy) is not None and self._kept[copy.partition].durable >= copy.next:
            self._copy = None
            self._submit(copy)

    def _copied(self, partition: Partition, kept: _Kept, mark: Mark) -> _Copy | None:
        forgotten, kept.forgotten = kept.forgotten, ()
        try:
            frozen = freeze(self._series, partition.index)
        except UndertowError as error:
            self._tell(SnapshotFailed(partition=partition, error=f"a snapshot is not made: {error}"))
            self._failed.add(partition)
            self._watch.put_back(forgotten)
            return None
        return _Copy(partition=partition, next=kept.position, mark=mark, frozen=frozen, forgotten=forgotten)

    def _submit(self, copy: _Copy | None) -> None:
        if copy is not None:
            self._writing = self._writer.submit(self._write, copy)

    def _write(self, copy: _Copy) -> None:
        began = self._ticks()
        about = {"identity": self._identity, "next": copy.next, "mark": copy.mark.to_metadata()}
        try:
            content = copy.frozen.to_bytes(about)
            self._snapshots.write(copy.partition, copy.next, content, stays=partial(_is_like, about))
        except Exception as error:  # noqa: BLE001 - a stream goes on without a snapshot, and nobody asks this thread
            self._tell(SnapshotFailed(partition=copy.partition, error=f"a snapshot is not written: {error}"))
            self._failed.add(copy.partition)
            self._watch.put_back(copy.forgotten)
            return
        event = Snapshotted(
            partition=copy.partition,
            next=copy.next,
            series=copy.frozen.series,
            bytes=len(content),
            seconds=self._ticks() - began,
        )
        self._tell(event)
        self._watch.answer(copy.forgotten)


def _is_like(about: Mapping[str, Any], there: bytes) -> bool:
    """Whether a snapshot at the same offset is of the same meaning and records: it may lack series that are forgotten.

    One of another specification, of records that the broker has lost, or a damaged one would hide this one.
    """
    try:
        found = read_about(there)
    except Refused:
        return False
    return all(found[name] == said for name, said in about.items())
