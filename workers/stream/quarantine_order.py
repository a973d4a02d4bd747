"""How to read partitions that have killed replicas: the quarantine order.

In: nothing. Out: frozen plain data: the order that travels with an assignment, and what one poll may return. Knows
neither how a death is detected nor what follows from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from undertow.schemas.decoded import Decode, Decoded
from undertow.schemas.records import Partition, Record, Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineOrder:
    """Which partitions are quarantined: read alone, few records at a time, each batch durable before the next."""

    steps: Mapping[Partition, int] = field(default_factory=dict)
    """The maximum number of records in a delivery."""
    refused: Mapping[tuple[str, Partition], tuple[int, str]] = field(default_factory=dict)
    """By artifact and partition: the offset whose record is rejected and not taken, and the reason."""
    unseen: frozenset[tuple[str, Partition]] = frozenset()
    """Of which of these the record is not even read for what it names, since replicas ended of that, too."""

    def of(self, partitions: frozenset[Partition]) -> "QuarantineOrder":
        """Return the part of the order that concerns these partitions."""
        return QuarantineOrder(
            steps={p: step for p, step in self.steps.items() if p in partitions},
            refused={(a, p): refusal for (a, p), refusal in self.refused.items() if p in partitions},
            unseen=frozenset((a, p) for a, p in self.unseen if p in partitions),
        )


NO_QUARANTINE = QuarantineOrder()


@dataclass(frozen=True, slots=True, kw_only=True)
class PollScope:
    """What one poll may return, where that is less than everything assigned."""

    only: frozenset[Partition]
    at_most: int | None = None
    """Records."""
    refused: tuple[str, str] | None = None
    """Reason and detail: every record returned is rejected, and nothing is made of it."""
    is_seen: bool = True
    """Whether such a record may be read for what it names."""


def decode_in_scope(scope: PollScope | None, decode: Decode, records: Sequence[Record]) -> Decoded:
    """Decode, or reject all records undecoded where the scope says so."""
    if scope is None or scope.refused is None:
        return decode(records)
    reason, detail = scope.refused
    rejects = tuple(Reject(record=record, reason=reason, detail=detail) for record in records)
    return replace(decode([]), rejects=rejects)
