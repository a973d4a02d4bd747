"""A broker and a source in memory, for tests.

In: records that a test appends, and scripted failures. Out: the same deliveries as from Kafka. Knows no Kafka client.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from undertow.core.errors import Diverged, Refused
from undertow.schemas.decoded import Decode
from undertow.schemas.records import Headers, Partition, Record
from undertow.stream.ports import Delivery, Offsets
from undertow.stream.quarantine_order import PollScope, decode_in_scope
from undertow.stream.record_marks import Mark, mark_of


class Crash(Exception):  # noqa: N818 it is what happens to a process, not what it finds
    """Raised by a script to simulate a crash of the process: nothing may catch it."""


Step = Exception | Callable[[], object] | None
Script = Iterable[Step]
"""One step for each call, taken before the call does anything: an exception to raise, a function to call, or None.
After the last step, all calls proceed."""


def play(script: Iterator[Step]) -> None:
    """Take the next step of a script."""
    step = next(script, None)
    if isinstance(step, Exception):
        raise step
    if step is not None:
        step()


@dataclass(slots=True)
class _Log:
    first: int = 0
    end: int = 0
    records: dict[int, Record] = field(default_factory=dict)


class MemoryBroker:
    """Partitions with offsets, shared by several sources as a broker is."""

    def __init__(self) -> None:
        self.committed: dict[Partition, int] = {}
        self.committed_for: dict[Partition, str] = {}
        self.made: dict[str, int] = {}
        """How often each topic was created anew."""
        self.committed_of: dict[Partition, int] = {}
        self.losses = 0
        """How often it was unavailable and came back with fewer records."""
        self._logs: dict[Partition, _Log] = {}

    def of_another_group(self) -> "MemoryBroker":
        """Return a broker with the same logs, but its own commits."""
        other = MemoryBroker()
        other._logs = self._logs
        return other

    def append(
        self,
        partition: Partition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        appended_us: int = 0,
    ) -> int:
        """Append a record and return its offset."""
        log = self.log(partition)
        log.records[log.end] = Record(
            partition=partition, offset=log.end, appended_us=appended_us, value=value, key=key, headers=headers
        )
        log.end += 1
        return log.end - 1

    def skip(self, partition: Partition, offsets: int = 1) -> None:
        """Use up offsets without a record, as transaction markers do."""
        self.log(partition).end += offsets

    def truncate(self, partition: Partition, end: int) -> None:
        """Lose all records from an offset on, as a broker restored to an earlier state; the offsets are reused."""
        log = self.log(partition)
        log.end = end
        log.records = {offset: record for offset, record in log.records.items() if offset < end}
        self.losses += 1

    def retain(self, partition: Partition, first: int) -> None:
        """Delete all records before an offset, as retention does."""
        log = self.log(partition)
        log.first = first
        log.records = {offset: record for offset, record in log.records.items() if offset >= first}

    def recreate(self, partition: Partition) -> None:
        """Delete the partition and create it anew, as one of another topic of the same name."""
        self._logs[partition] = _Log()
        self.made[partition.topic] = self.made.get(partition.topic, 0) + 1

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of a topic that were used."""
        return sorted(partition for partition in self._logs if partition.topic == topic)

    def log(self, partition: Partition) -> _Log:
        """Return the log of a partition; it is created on first use."""
        return self._logs.setdefault(partition, _Log())


class MemorySource:
    """A `Source`. It never waits."""

    def __init__(
        self,
        broker: MemoryBroker,
        decode: Decode,
        *,
        max_batch: int = 512,
        view: str = "",
        polls: Script = (),
        commits: Script = (),
    ) -> None:
        self._broker, self._decode, self._max = broker, decode, max_batch
        self._view = view
        self._polls, self._commits = iter(polls), iter(commits)
        self.silence: str | None = None
        self._positions: dict[Partition, int] = {}
        self._made, self._losses = dict(broker.made), broker.losses

    def assign(self, starts: Mapping[Partition, int | None]) -> Offsets:
        """Read exactly these partitions; return the position of each."""
        positions = {}
        self._require_same(starts)
        for partition, start in starts.items():
            log = self._broker.log(partition)
            wanted = self._committed(partition) if start is None else start
            if partition in self._positions:
                wanted = self._positions[partition]
            elif wanted is not None and wanted > log.end:
                message = f"expected to read {partition} from offset {wanted} on, but it ends at {log.end}"
                raise Refused(message)
            if wanted is None or (start is not None and wanted < log.first):
                wanted = log.first
            positions[partition] = wanted
        self._positions = positions
        return dict(positions)

    def poll(self, timeout_s: float, scope: PollScope | None = None) -> Delivery | None:
        """Return new records, or None."""
        del timeout_s
        play(self._polls)
        self._require_same(self._positions)
        if self._losses != self._broker.losses:
            self._losses = self._broker.losses
            message = "the broker was away since the last delivery"
            raise Diverged(message)
        most = self._max if scope is None or scope.at_most is None else min(self._max, scope.at_most)
        records: list[Record] = []
        receipt: dict[Partition, int] = {}
        lost: dict[Partition, int] = {}
        for partition, position in self._positions.items():
            if scope is not None and partition not in scope.only:
                continue
            log = self._broker.log(partition)
            if position > log.end:
                message = f"expected to read {partition} from offset {position} on, but it ends at {log.end}"
                raise Diverged(message)
            if position < log.first:
                lost[partition] = log.first - position
            after = max(position, log.first)
            while after < log.end and len(records) < most:
                if after in log.records:
                    records.append(log.records[after])
                after += 1
            if after != position:
                receipt[partition] = after
        if not receipt:
            return None
        decoded = decode_in_scope(scope, self._decode, records)
        self._positions.update(receipt)
        marks = {record.partition: _mark(record) for record in records}
        return Delivery(records=records, decoded=decoded, receipt=receipt, lost=lost, marks=marks)

    def commit(self, offsets: Offsets, *, wait: bool = True) -> None:
        """Commit offsets for the next owner; it never waits."""
        del wait
        play(self._commits)
        self._broker.committed.update(offsets)
        self._broker.committed_for.update(dict.fromkeys(offsets, self._view))
        self._broker.committed_of.update({p: self._made.get(p.topic, 0) for p in offsets})

    def ask_again(self) -> Callable[[], None]:
        """Begin to check that all deliveries came from the original topics; return the function that raises."""
        return lambda: self._require_same(self._positions)

    def holds(self, marks: Mapping[Partition, Mark]) -> dict[Partition, bool | None]:
        """Return whether each record is unchanged in the broker, None if that cannot be determined."""
        verdicts = {partition: self._holds(self._broker.log(partition), mark) for partition, mark in marks.items()}
        self._require_same(partition for partition, verdict in verdicts.items() if verdict is False)
        return verdicts

    def _holds(self, log: _Log, mark: Mark) -> bool | None:
        if mark.offset >= log.end:
            return False
        record = log.records.get(mark.offset)
        return None if record is None else _mark(record) == mark

    def begins(self, partition: Partition) -> int:
        """Return the earliest offset of a partition."""
        return self._broker.log(partition).first

    def _require_same(self, partitions: Iterable[Partition]) -> None:
        for topic in {partition.topic for partition in partitions}:
            if self._broker.made.get(topic, 0) != self._made.get(topic, 0):
                message = f'the topic "{topic}" was deleted and made anew'
                raise Refused(message)

    def _committed(self, partition: Partition) -> int | None:
        whose = self._broker.committed_for.get(partition)
        is_anothers = whose and self._view and whose != self._view
        is_anothers = is_anothers or self._broker.committed_of.get(partition, 0) != self._made.get(partition.topic, 0)
        return None if is_anothers else self._broker.committed.get(partition)

    def lag(self) -> Offsets:
        """Return the lag of each partition in offsets."""
        return {p: max(0, self._broker.log(p).end - position) for p, position in self._positions.items()}

    def close(self) -> None:
        """Close without committing."""
        self._positions = {}


def _mark(record: Record) -> Mark:
    return mark_of(
        offset=record.offset,
        epoch=-1,
        appended_ms=record.appended_us // 1000,
        key=record.key,
        value=record.value,
    )
