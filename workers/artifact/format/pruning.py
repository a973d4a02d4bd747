"""The parts that an artifact leaves out of its model, as plain data.

In: JSON. Out: `Pruning`. Knows neither torch nor the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OutputSize = int | list[int]
"""The size of an axis: a constant, or [tensor, axis], the size of that axis of that tensor among the arguments."""
OutputTemplate = Mapping[str, Any]
"""The structure of an output, with the sizes of each tensor: {"tensor": [...]}, {"tuple": [...]}, {"dict": {...}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What can be left out without changing the tapped tensors."""

    skipped: Mapping[str, OutputTemplate] = field(default_factory=dict)
    """By path, modules that run before the last tap without influence on any, and the output to return instead."""
    stateless: tuple[str, ...] = ()
    """Paths of recurrent modules whose output is read, but not their final state."""
    dropped: tuple[str, ...] = ()
    """Names of the weights that are neither stored nor loaded."""
    parameters: int = 0
    """How many numbers all the model's parameters have."""
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
