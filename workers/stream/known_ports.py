"""The port of a topic of what is known ahead, such as a forecast that another program writes.

In: plain values. Out: a Protocol, with two implementations in `undertow.adapters`. Knows no vendor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from undertow.schemas.records import Record, Reject


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownPortion:
    """Some of the records of a topic."""

    records: Sequence[Record] = ()
    """In order of their offsets, by partition."""
    skipped: Sequence[Reject] = ()
    """What lies in the topic and cannot be read: it is passed over."""
    is_anew: bool = False
    """Whether nothing that was read before counts any more: the topic was made anew, or has lost records."""


class KnownTopic(Protocol):
    """Reads all partitions of a topic from their beginning, again and again to their end. One thread owns it."""

    def read(self) -> Iterator[KnownPortion]:
        """Yield what has come since the last portion, up to the end as it is now. New partitions are noticed.

        What was yielded is not yielded again, unless `is_anew`. Raises `Unavailable`, and goes on in the next call;
        `Refused` where the broker does not let us read.
        """

    def close(self) -> None:
        """Let go. Idempotent."""
