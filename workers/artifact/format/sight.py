"""The measured dependencies of a vector on the model's inputs: part of the certificate.

In: plain values. Out: `Sight`, its JSON form and its words. Knows no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

FEW = 4
"""Channels are narrow that see at most one step in so many of those that all together see."""
MANY = 3
"""At least one channel in so many must be narrow to be told: a direction of a layer is half of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSight:
    """What one pooling of a hidden state depends on."""

    pool: str
    """As text: last, mean[-8:]."""
    looked_at: int
    """So many steps of the model's past were changed, one by one: all of `steps`, or some where these are many."""
    steps: int
    """How many the longest window has there."""
    seen: int
    """How many of those looked at change the vector."""
    oldest: int
    """The oldest of these, from 1; 0 where none does."""
    newest: int
    """The newest of these, from 1; 0 where none does."""
    channels: int
    narrow: int = 0
    """So many channels see far fewer steps than all together."""
    narrow_seen: int = 0
    """Most steps that one of these sees."""

    @property
    def sees_newest(self) -> bool:
        """Whether the last step of a window changes the vector."""
        return self.newest == self.steps

    @property
    def is_narrow(self) -> bool:
        """Whether a good part of the channels sees far less than the others."""
        return self.narrow * MANY >= self.channels

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to be said against it: it sees the past, its newest step, and so in all channels."""
        return self.seen > 0 and self.sees_newest and not self.is_narrow

    def span(self) -> str:
        """Say which steps it sees."""
        if self.seen <= 1:
            return f"step {self.newest} of {self.steps}" if self.seen else "no step"
        return f"steps {self.oldest} to {self.newest} of {self.steps}"

    def words(self) -> str:
        """Say it in short."""
        among = "" if self.looked_at == self.steps else f" looked at of {self.steps}"
        span = f" ({self.span().partition(' of ')[0]})" if 0 < self.seen < self.looked_at else ""
        narrow = f", {self.narrow} of {self.channels} channels {self.narrow_seen}" if self.is_narrow else ""
        newest = "yes" if self.sees_newest else "no"
        return f"past {self.seen}/{self.looked_at} steps{among}{span}{narrow}, newest {newest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a feature depends on. Seen are those inputs that change its vector, by the names that windows carry."""

    parts: tuple[PartSight, ...]
    inputs: tuple[str, ...]
    """Columns of the past by their names; `static place`, `ahead hour` and `series wearer` are no columns of it."""
    blind: tuple[str, ...]
    """Inputs that were changed and change nothing."""

    @property
    def is_constant(self) -> bool:
        """Whether no step of the past changes it."""
        return not any(part.seen for part in self.parts)

    def words(self) -> Iterator[str]:
        """Yield it for a person: each pooling, then the inputs."""
        for part in self.parts:
            yield f"{part.pool} sees: {part.words()}" if len(self.parts) > 1 else f"sees: {part.words()}"
        yield f"inputs: {', '.join(self.inputs) or 'none'}" + (f"; not {', '.join(self.blind)}" if self.blind else "")

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Sight":
        """Read what `to_json` wrote."""
        return cls(
            parts=tuple(PartSight(**part) for part in data["parts"]),
            inputs=tuple(data["inputs"]),
            blind=tuple(data["blind"]),
        )
