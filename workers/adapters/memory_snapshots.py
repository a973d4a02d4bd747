"""Snapshots in memory, for tests. In: what those in files take. Out: the same, for a test to inspect. Knows no file."""

from collections.abc import Iterator

from undertow.adapters.window_snapshots import KEPT
from undertow.core.publication import Content
from undertow.schemas.records import Partition


class MemorySnapshots:
    """`Snapshots`. Several streams given the same one share them."""

    def __init__(self) -> None:
        self.contents: dict[Partition, dict[int, bytes]] = {}

    def newest(self, partition: Partition, at_most: int) -> Iterator[bytes]:
        """Yield snapshots up to this offset, newest first."""
        there = self.contents.get(partition, {})
        yield from (there[after] for after in sorted(there, reverse=True) if after <= at_most)

    def write(self, partition: Partition, after: int, content: Content) -> None:
        """Keep the snapshot, and the newest ones before it."""
        there = self.contents.setdefault(partition, {})
        there.setdefault(after, bytes(content))
        for old in sorted(older for older in there if older <= after)[:-KEPT]:
            del there[old]
