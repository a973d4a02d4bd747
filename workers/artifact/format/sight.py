"""Which inputs a vector depends on, as measured at packing: part of the certificate.

In: plain values. Out: `Sight`, its JSON form and its description. Knows no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

FEW = 4
"""A channel is narrow if it sees at most 1/FEW of the steps that all channels together see. A choice."""
MANY = 3
"""Narrow channels are reported if they are at least 1/MANY of all: one direction of a bidirectional layer is half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSight:
    """The steps on which one pooling of a hidden state depends."""

    pool: str
    """As text: `last`, `mean[-8:]`."""
    looked_at: int
    """How many of the past's steps were changed, one at a time: all `steps`, or a part if there are many."""
    steps: int
    """How many steps the past of the longest window has."""
    seen: int
    """How many of the steps looked at change the vector."""
    oldest: int
    """The oldest of these, from 1; 0 if none does."""
    newest: int
    """The newest of these, from 1; 0 if none does."""
    channels: int
    narrow: int = 0
    """How many channels see far fewer steps than all together (see `FEW`)."""
    narrow_seen: int = 0
    """The most steps that a narrow channel sees."""

    @property
    def sees_newest(self) -> bool:
        """Whether the last step of a window changes the vector."""
        return self.newest == self.steps

    @property
    def is_narrow(self) -> bool:
        """Whether enough channels are narrow to be reported."""
        return self.narrow * MANY >= self.channels

    @property
    def is_whole(self) -> bool:
        """Whether nothing is worth a warning: it sees the past and the newest step, and no channels are narrow."""
        return self.seen > 0 and self.sees_newest and not self.is_narrow

    def span(self) -> str:
        """Return in words which steps it sees."""
        if self.seen <= 1:
            return f"step {self.newest} of {self.steps}" if self.seen else "no step"
        return f"steps {self.oldest} to {self.newest} of {self.steps}"

    def words(self) -> str:
        """Return all of it in one line."""
        among = "" if self.looked_at == self.steps else f" looked at of {self.steps}"
        span = f" ({self.span().partition(' of ')[0]})" if 0 < self.seen < self.looked_at else ""
        narrow = f", {self.narrow} of {self.channels} channels {self.narrow_seen}" if self.is_narrow else ""
        newest = "yes" if self.sees_newest else "no"
        return f"past {self.seen}/{self.looked_at} steps{among}{span}{narrow}, newest {newest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a feature depends on. An input is seen if changing it changes the vector. Names are those of the windows."""

    parts: tuple[PartSight, ...]
    inputs: tuple[str, ...]
    """Columns of the past by name, others with their part of the window: `static place`, `ahead hour`, `series id`."""
    blind: tuple[str, ...]
    """Inputs that do not change the vector."""

    @property
    def is_constant(self) -> bool:
        """Whether no step of the past changes the vector."""
        return not any(part.seen for part in self.parts)

    def words(self) -> Iterator[str]:
        """Yield lines for users: each pooling, then the inputs."""
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
