"""What an artifact leaves out of its model, as plain data.

In: JSON. Out: `Pruning`. Knows neither torch nor the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OutputSize = int | list[int]
"""Of one axis: constant, or that of an input: which tensor of the arguments, and which axis of it."""
OutputTemplate = Mapping[str, Any]
"""A module's output with its sizes in the place of each tensor: {"tensor": [...]}, {"tuple": [...]}, {"dict": {...}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What can be left out, since the tapped tensors are the same without it."""

    skipped: Mapping[str, OutputTemplate] = field(default_factory=dict)
    """By path, the modules that run before the last tap for nothing, and what to return in their place."""
    stateless: tuple[str, ...] = ()
    """Paths of recurrent modules whose output is read, and whose final state is not."""
    dropped: tuple[str, ...] = ()
    """Names of the weights that are neither stored nor loaded."""
    parameters: int = 0
    """How many numbers the model's parameters are."""
    kept: int = 0
    """How many of them are stored."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "skipped": dict(self.skipped),
            "stateless": list(self.stateless),
            "dropped": list(self.dropped),
            "parameters": self.parameters,
            "kept": self.kept,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Pruning":
        """Read what `to_json` wrote."""
        return cls(
            skipped=data["skipped"],
            stateless=tuple(data["stateless"]),
            dropped=tuple(data["dropped"]),
            parameters=data["parameters"],
            kept=data["kept"],
        )
