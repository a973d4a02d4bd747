"""A topic of what is known ahead in memory, for tests.

In: a `MemoryBroker`. Out: what Kafka's gives. Knows no Kafka client.
"""

from collections.abc import Iterator

from undertow.adapters.memory_source import MemoryBroker, Script, play
from undertow.schemas.records import Partition
from undertow.stream.known_ports import KnownPortion


class MemoryKnown:
    """`KnownTopic`. It never waits."""

    def __init__(self, broker: MemoryBroker, topic: str, *, max_records: int = 512, reads: Script = ()) -> None:
        self._broker, self._topic, self._max, self._reads = broker, topic, max_records, iter(reads)
        self._made = broker.made.get(topic, 0)
        self._positions: dict[Partition, int] = {}

    def read(self) -> Iterator[KnownPortion]:
        """Yield what has come since the last portion."""
        play(self._reads)
        made = self._broker.made.get(self._topic, 0)
        partitions = self._broker.partitions(self._topic)
        if made != self._made or any(self._broker.log(p).end < at for p, at in self._positions.items()):
            self._made, self._positions = made, {}
            yield KnownPortion(is_anew=True)
        for partition in partitions:
            log = self._broker.log(partition)
            end = log.end
            while (at := max(self._positions.get(partition, 0), log.first)) < end:
                offsets = [offset for offset in sorted(log.records) if at <= offset < end][: self._max]
                self._positions[partition] = offsets[-1] + 1 if offsets else end
                yield KnownPortion(records=[log.records[offset] for offset in offsets])

    def close(self) -> None:
        """Nothing is held."""
