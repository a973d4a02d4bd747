"""A source whose records hold raw observations: what it holds of them follows from the topic, wherever it is read.

In: a source whose decoder remembers observations, snapshots of what it holds. Out: the same source; a partition that
is assigned holds what all records before its position have said. Knows neither Kafka nor the content of a snapshot.

A partition is assigned: the newest snapshot before its position that is of the same specification and of this topic is
taken, and the records from there to the position are read once more. Nothing is made of them: their windows are in the
log already. Without a snapshot they are read from the partition's beginning. `snapshot_writer.py` says when one is
written.

A record that is refused in quarantine is not held, and the series that it names begin anew behind it. The part of the
chain that covers it says so, hence whoever reads it once more does the same.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from undertow.core.errors import Refused, Unavailable
from undertow.observations.held_snapshot import read_about, thaw
from undertow.observations.streamed_records import StreamedRecords
from undertow.schemas.records import Partition
from undertow.stream.events import Listener, NotWarm, SnapshotFailed, Warmed
from undertow.stream.ports import Clock, Delivery, Observed, Offsets, Source
from undertow.stream.quarantine_order import PollScope
from undertow.stream.record_marks import ChainEnd, Mark, RefusedRecord
from undertow.stream.snapshot_ports import ForgetRequests, Snapshots
from undertow.stream.snapshot_writer import SnapshotWriter

POLL_S = 0.1


class ObservingSource:
    """A `Source`. One thread owns it; another writes snapshots."""

    def __init__(
        self,
        source: Source,
        records: StreamedRecords,
        snapshots: Snapshots,
        requests: ForgetRequests,
        *,
        identity: str,
        snapshot_seconds: float,
        tell: Listener,
        places: Callable[[Partition], Iterable[ChainEnd]] = lambda _partition: (),
        give_up: Callable[[], bool] = lambda: False,
        close_known: Callable[[], object] = lambda: None,
        ticks: Clock = time.monotonic,
    ) -> None:
        """Take ownership. `identity` differs where a snapshot would have another meaning, or be of another topic.

        `close_known` lets go of what the decoder reads beside. `places` are those of the chain that the stream appends
        to (`OfflineLog.places`).
        """
        self._places = places
        self._source, self._records, self._snapshots = source, records, snapshots
        self._identity, self._tell, self._give_up, self._ticks = identity, tell, give_up, ticks
        self._close_known = close_known
        self._kept = SnapshotWriter(
            records.series,
            snapshots,
            requests,
            identity=identity,
            snapshot_seconds=snapshot_seconds,
            tell=tell,
            ticks=ticks,
        )

    @property
    def silence(self) -> str | None:
        """For how long the broker has not answered."""
        return self._source.silence

    @property
    def observed(self) -> Observed:
        """What is held now. For any thread."""
        series, of = self._records.series, self._records.series.held.of_partitions
        by_partition = {partition: of.get(partition.index, 0) for partition in self._kept.positions}
        return Observed(
            series=len(series.held),
            bytes=series.nbytes,
            file_bytes=series.file_bytes,
            waiting=len(series.open),
            waiting_series=series.open.series,
            by_partition=by_partition,
        )

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each. What is held of new ones is read first."""
        retained = {p: position for p, position in self._kept.positions.items() if p in starts}
        gone = self._kept.positions.keys() - starts.keys()
        for partition in gone:
            self._kept.end(partition)
        self._records.series.drop([partition.index for partition in gone])
        new = sorted(starts.keys() - retained.keys())
        if not new:
            return self._source.assign(starts)
        # Where this is called again after a failure, half of it may be there.
        self._records.series.drop([partition.index for partition in new])
        self._source.assign(retained)
        positions = dict(self._source.assign(starts))
        to = {partition: positions[partition] for partition in new}
        positions |= self._warm(to, retained, {partition for partition in new if starts[partition] is not None})
        return positions

    def poll(self, timeout_s: float, scope: PollScope | None = None) -> Delivery | None:
        """Return new records, or None after `timeout_s`."""
        refusing = None if scope is None else scope.refused
        if scope is not None and scope.is_seen:  # the decoder refuses, not the source: what it names begins anew
            self._records.refusing, scope = refusing, replace(scope, refused=None)
        try:
            delivery = self._source.poll(timeout_s, scope)
        finally:
            self._records.refusing = None
        if delivery is None:
            self._kept.move({}, {}, is_due=False)
            return None
        # Copied at once behind what is refused: who takes the partition over then need not read that once more.
        self._kept.move(delivery.receipt, delivery.marks, is_due=refusing is not None)
        if refusing is None:
            return delivery
        is_seen = scope is None or scope.is_seen
        refused = [
            (record.partition, RefusedRecord(offset=record.offset, is_seen=is_seen)) for record in delivery.records
        ]
        return replace(delivery, refused=refused)

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Commit durable offsets, and write what was copied before them."""
        self._kept.settle(offsets)
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
        self._kept.close()
        self._source.close()
        self._close_known()

    def _warm(self, to: Offsets, retained: Offsets, begun: set[Partition]) -> Offsets:
        """Read what lies before these positions, and hold it; `begun` have a chain, so there was something before.

        Return the positions: further ahead where retention has overtaken them meanwhile.
        """
        began_at, positions = self._ticks(), to
        since = {partition: self._load(partition, position) for partition, position in to.items()}
        again = {partition: first for partition, first in since.items() if first < to[partition]}
        records = 0
        if again:
            self._source.assign(retained)
            found = self._source.assign({**retained, **again})
            for partition in sorted(again):
                if found[partition] > again[partition] and partition in begun:
                    self._tell(NotWarm(partition=partition, offsets=found[partition] - again[partition]))
            refused = {p: self._refused_since(p, found[p]) for p in again if p in begun}
            self._records.refused = {partition: some for partition, some in refused.items() if some}
            records = self._read_again(to, {partition: found[partition] for partition in again}, begun)
            self._source.assign(retained)
            positions = self._source.assign({**retained, **to})
            series, took = len(self._records.series.held), self._ticks() - began_at
            self._tell(Warmed(partitions=tuple(sorted(again)), offsets=records, series=series, seconds=took))
        for partition in to:
            is_due = bool(records) and partition in again
            self._kept.begin(partition, positions[partition], snapshot_next=since[partition], is_due=is_due)
        return {partition: positions[partition] for partition in to}

    def _read_again(self, to: Offsets, found: Offsets, begun: set[Partition]) -> int:
        """Read from one place to another; return how many offsets were read. Retention may overtake this, too."""
        at, lost_before = dict(found), 0
        self._records.warming = {partition: to[partition] for partition in found}
        try:
            while left := {partition for partition, position in at.items() if position < to[partition]}:
                if self._give_up():
                    message = "what was observed before is not read to its end: the replica ends"
                    raise Unavailable(message)
                delivery = self._source.poll(POLL_S, PollScope(only=frozenset(left)))
                if delivery is None:
                    continue
                for partition, offsets in delivery.lost.items():
                    lost_before += min(offsets, to[partition] - at[partition])
                    if partition in begun:
                        self._tell(NotWarm(partition=partition, offsets=offsets))
                at |= delivery.receipt
        finally:
            self._records.warming, self._records.refused = {}, {}
        return sum(max(0, to[partition] - first) for partition, first in found.items()) - lost_before

    def _refused_since(self, partition: Partition, first: int) -> dict[int, bool]:
        """Return which records, from an offset on, were refused in quarantine when they were read first.

        By offset, whether it was read for what it names.
        """
        refused: dict[int, bool] = {}
        for place in self._places(partition):
            if place.next <= first:
                break
            refused |= {one.offset: one.is_seen for one in place.refused if one.offset >= first}
        return refused

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
