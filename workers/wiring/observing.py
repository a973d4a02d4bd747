"""A source whose records hold raw observations: what it holds of them follows from the topic, wherever it is read.

In: a source whose decoder remembers observations, snapshots of what it holds. Out: the same source; a partition that
is assigned holds what all records before its position have said. Knows neither Kafka nor the content of a snapshot.

1. A partition is assigned: the newest snapshot before its position that is of the same specification and of this topic
   is taken, and the records from there to the position are read once more. Nothing is made of them: their windows are
   in the log already. Without a snapshot they are read from the partition's beginning.
2. Every `offline.snapshot_seconds` what is held of a partition is copied, as it is after a delivery. The copy is
   written when a checkpoint has made durable what was read by then: a chain never ends before its snapshots, unless it
   was turned back, and then the mark of the last record tells that a snapshot is of records which are no more.
3. A partition that is given away or closed is written at once, if all of it is durable.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.observations.held_snapshot import Frozen, freeze, read_about, thaw
from undertow.observations.streamed_records import StreamedRecords
from undertow.schemas.records import Partition
from undertow.stream.events import Listener, NotWarm, SnapshotFailed, Snapshotted, Warmed
from undertow.stream.ports import Clock, Delivery, Observed, Offsets, Source
from undertow.stream.quarantine_order import PollScope
from undertow.stream.record_marks import Mark

POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Copy:
    """What was held of a partition when everything before `next` had been read."""

    partition: Partition
    next: int
    mark: Mark
    frozen: Frozen


class ObservingSource:
    """A `Source`. One thread owns it; another writes snapshots."""

    def __init__(
        self,
        source: Source,
        records: StreamedRecords,
        snapshots: WindowSnapshots,
        *,
        identity: str,
        snapshot_seconds: float,
        tell: Listener,
        give_up: Callable[[], bool] = lambda: False,
        ticks: Clock = time.monotonic,
    ) -> None:
        """Take ownership. `identity` differs where a snapshot would have another meaning, or be of another topic."""
        self._source, self._records, self._snapshots = source, records, snapshots
        self._identity, self._snapshot_seconds, self._tell = identity, snapshot_seconds, tell
        self._give_up, self._ticks = give_up, ticks
        self._positions: dict[Partition, int] = {}
        self._marks: dict[Partition, Mark] = {}
        self._durable: dict[Partition, int] = {}
        self._saved: dict[Partition, tuple[float, int]] = {}  # when a copy was made, and up to which offset
        self._copy: _Copy | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshots")
        self._writing: Future[None] | None = None

    @property
    def silence(self) -> str | None:
        """For how long the broker has not answered."""
        return self._source.silence

    @property
    def observed(self) -> Observed:
        """What is held now."""
        series = self._records.series
        return Observed(series=len(series.held), bytes=series.nbytes)

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each. What is held of new ones is read first."""
        retained = {p: position for p, position in self._positions.items() if p in starts}
        for partition in self._positions.keys() - starts.keys():
            self._save_at_rest(partition)
            self._forget(partition)
        new = sorted(starts.keys() - retained.keys())
        if not new:
            return self._source.assign(starts)
        for partition in new:  # where this is called again after a failure, half of it may be there
            self._forget(partition)
        self._source.assign(retained)
        positions = dict(self._source.assign(starts))
        to = {partition: positions[partition] for partition in new}
        self._warm(to, retained, {partition for partition in new if starts[partition] is not None})
        self._positions = positions
        return dict(positions)

    def poll(self, timeout_s: float, scope: PollScope | None = None) -> Delivery | None:
        """Return new records, or None after `timeout_s`."""
        delivery = self._source.poll(timeout_s, scope)
        if delivery is not None:
            self._positions.update(delivery.receipt)
            self._marks.update(delivery.marks)
            if scope is not None and scope.refused is not None:  # what was refused unseen must not be read once more
                self._saved.update(dict.fromkeys(delivery.receipt, (-self._snapshot_seconds, -1)))
        self._copy_one()
        return delivery

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Commit durable offsets, and write what was copied before them."""
        self._durable.update(offsets)
        self._write_what_is_durable()
        self._source.commit(offsets, wait=wait)

    def ask_again(self) -> Callable[[], None]:
        """Begin to check that all deliveries came from this topic; return the function that waits for the answer."""
        return self._source.ask_again()

    def holds(self, marks: Mapping[Partition, Mark]) -> Mapping[Partition, bool | None]:
        """Return whether each record is unchanged in the broker, None where that cannot be determined."""
        return self._source.holds(marks)

    def begins(self, partition: Partition) -> int:
        """Return the earliest offset of a partition."""
        return self._source.begins(partition)

    def lag(self) -> Offsets:
        """Return the lag of each partition in offsets."""
        return self._source.lag()

    def close(self) -> None:
        """Write what is durable and in no snapshot yet, and close without committing. Idempotent."""
        for partition in self._positions:
            self._save_at_rest(partition)
        self._positions = {}
        self._writer.shutdown(wait=True)
        self._source.close()

    def _warm(self, to: Offsets, retained: Offsets, begun: set[Partition]) -> None:
        """Read what lies before these positions, and hold it; `begun` have a chain, so there was something before."""
        began_at, now = self._ticks(), self._ticks()
        since = {partition: self._load(partition, position) for partition, position in to.items()}
        again = {partition: first for partition, first in since.items() if first < to[partition]}
        self._saved.update({partition: (now, since[partition]) for partition in to})
        if not again:
            return
        self._source.assign(retained)
        found = self._source.assign({**retained, **again})
        for partition in sorted(again):
            if found[partition] > again[partition] and partition in begun:
                self._tell(NotWarm(partition=partition, offsets=found[partition] - again[partition]))
        self._records.warming = {partition: to[partition] for partition in again}
        try:
            left = {partition for partition in again if found[partition] < to[partition]}
            while left:
                if self._give_up():
                    message = "what was observed before is not read to its end: the replica ends"
                    raise Unavailable(message)
                delivery = self._source.poll(POLL_S, PollScope(only=frozenset(left)))
                left -= {p for p, after in (delivery.receipt.items() if delivery else ()) if after >= to[p]}
        finally:
            self._records.warming = {}
        self._source.assign(retained)
        self._source.assign({**retained, **to})
        records = sum(to[partition] - found[partition] for partition in again)
        series = len(self._records.series.held)
        self._tell(
            Warmed(partitions=tuple(sorted(again)), offsets=records, series=series, seconds=self._ticks() - began_at)
        )
        if records:
            self._saved.update({partition: (-self._snapshot_seconds, since[partition]) for partition in again})

    def _load(self, partition: Partition, position: int) -> int:
        """Hold what the newest snapshot at or before a position has; return the offset up to which it is."""
        for content in self._snapshots.newest(partition, position):
            try:
                about = read_about(content)
            except Refused as error:
                self._tell(SnapshotFailed(partition=partition, error=f"a snapshot is not used: {error}"))
                continue
            if about["identity"] != self._identity:
                continue
            mark = Mark.parse(about["mark"])
            if mark is not None and self._source.holds({partition: mark})[partition] is False:
                continue  # the broker has lost what it was made of
            thaw(self._records.series, partition.index, content)
            return int(about["next"])
        return 0

    def _forget(self, partition: Partition) -> None:
        self._records.series.drop(partition.index)
        for kept in (self._positions, self._marks, self._durable, self._saved):
            kept.pop(partition, None)
        if self._copy is not None and self._copy.partition == partition:
            self._copy = None

    def _copy_one(self) -> None:
        """Copy what is held of one partition, if that is due: of one at a time, since the copy takes memory."""
        if self._copy is not None or (self._writing is not None and not self._writing.done()):
            return
        now = self._ticks()
        due = [
            (at, partition)
            for partition, (at, upto) in self._saved.items()
            if now - at >= self._snapshot_seconds
            and self._positions.get(partition, 0) > upto
            and partition in self._marks
        ]
        if due:
            self._copy = self._copied(min(due)[1])
            self._write_what_is_durable()

    def _write_what_is_durable(self) -> None:
        if (copy := self._copy) is not None and self._durable.get(copy.partition, -1) >= copy.next:
            self._copy = None
            self._submit(copy)

    def _copied(self, partition: Partition) -> _Copy:
        self._saved[partition] = self._ticks(), self._positions[partition]
        frozen = freeze(self._records.series, partition.index)
        return _Copy(partition=partition, next=self._positions[partition], mark=self._marks[partition], frozen=frozen)

    def _save_at_rest(self, partition: Partition) -> None:
        """Write what is held of a partition of which everything read is durable."""
        position = self._positions[partition]
        is_new = self._saved.get(partition, (0.0, -1))[1] < position
        if self._durable.get(partition) == position and partition in self._marks and is_new:
            self._submit(self._copied(partition))

    def _submit(self, copy: _Copy) -> None:
        self._writing = self._writer.submit(self._write, copy)

    def _write(self, copy: _Copy) -> None:
        began = self._ticks()
        about = {"identity": self._identity, "next": copy.next, "mark": copy.mark.to_metadata()}
        try:
            content = copy.frozen.to_bytes(about)
            self._snapshots.write(copy.partition, copy.next, content)
        except (UndertowError, MemoryError) as error:
            self._tell(SnapshotFailed(partition=copy.partition, error=f"a snapshot is not written: {error}"))
            return
        event = Snapshotted(
            partition=copy.partition,
            next=copy.next,
            series=copy.frozen.series,
            bytes=len(content),
            seconds=self._ticks() - began,
        )
        self._tell(event)
