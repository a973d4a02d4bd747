"""The ports of a stream that holds raw observations: where snapshots of them lie.

In: plain values. Out: Protocols, each with at least two implementations in `undertow.adapters`. Knows no vendor.
"""

from collections.abc import Iterator
from typing import Protocol

from undertow.core.publication import Content
from undertow.schemas.records import Partition


class Snapshots(Protocol):
    """Snapshots of what is held of observations, by partition and the offset up to which everything is in them."""

    def newest(self, partition: Partition, at_most: int) -> Iterator[bytes]:
        """Yield the snapshots up to this offset, newest first. Raises `Refused`, `Unavailable`."""

    def write(self, partition: Partition, after: int, content: Content) -> None:
        """Write the snapshot up to an offset, unless there is one; older ones may go.

        Durable on return; it appears whole or not at all. Raises `Refused`, `Unavailable`.
        """
