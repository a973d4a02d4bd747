"""The ports of a stream that holds raw observations: where snapshots of them lie, and requests to forget series.

In: plain values. Out: Protocols, each with at least two implementations in `undertow.adapters`. Knows no vendor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from undertow.core.publication import Content
from undertow.observations.series_keys import Keys
from undertow.schemas.records import Partition


class Snapshots(Protocol):
    """Snapshots of what is held of observations, by partition and the offset up to which everything is in them."""

    def newest(self, partition: Partition, at_most: int) -> Iterator[bytes]:
        """Yield the snapshots up to this offset, newest first. Raises `Refused`, `Unavailable`."""

    def write(
        self,
        partition: Partition,
        after: int,
        content: Content,
        *,
        stays: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Write the snapshot up to an offset, unless there is one that `stays`; older ones may go.

        Durable on return; it appears whole or not at all. Raises `Refused`, `Unavailable`.
        """

    def rewrite(self, partition: Partition, change: Callable[[bytes], Content | None]) -> int:
        """Replace each snapshot by what `change` makes of it, unless that is None; return how many were replaced.

        One of which `change` raises `Refused` is deleted. Raises `Refused`, `Unavailable`.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForgetRequest:
    """That whoever reads a partition is to hold some series no more."""

    name: str
    """Unique."""
    partition: Partition
    keys: Keys


class ForgetRequests(Protocol):
    """The requests that nobody has answered yet."""

    def pending(self) -> list[ForgetRequest]:
        """Return them. Raises `Refused`, `Unavailable`."""

    def fulfil(self, request: ForgetRequest) -> None:
        """Delete one; idempotent. Raises `Refused`, `Unavailable`."""
