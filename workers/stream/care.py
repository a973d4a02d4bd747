"""How partitions are read that replicas have died of.

In: nothing. Out: frozen plain data: the order that travels with an assignment, and what one poll may bring. Knows
neither how a death is seen nor what is done about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from undertow.schemas.decoded import Decode, Decoded
from undertow.schemas.records import Partition, Record, Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Which partitions are read with care: alone, few records at a time, each durable before the next."""

    steps: Mapping[Partition, int] = field(default_factory=dict)
    """The most records of a delivery."""
    refused: Mapping[tuple[str, Partition], tuple[int, str]] = field(default_factory=dict)
    """By artifact and partition: the position whose record is refused unseen, and the reason."""

    def of(self, partitions: frozenset[Partition]) -> "Care":
        """Return what concerns these partitions."""
        return Care(
            steps={p: step for p, step in self.steps.items() if p in partitions},
            refused={(a, p): refusal for (a, p), refusal in self.refused.items() if p in partitions},
        )


NO_CARE = Care()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one poll may bring, where that is not all that is assigned."""

    only: frozenset[Partition]
    at_most: int | None = None
    """Records."""
    refused: tuple[str, str] | None = None
    """Reason and detail: what comes is refused without a look at what it holds."""


def decode_within(reach: Reach | None, decode: Decode, records: Sequence[Record]) -> Decoded:
    """Decode, or refuse all records undecoded where the reach says so."""
    if reach is None or reach.refused is None:
        return decode(records)
    reason, detail = reach.refused
    rejects = tuple(Reject(record=record, reason=reason, detail=detail) for record in records)
    return replace(decode([]), rejects=rejects)
