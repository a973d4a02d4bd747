"""What an artifact keeps of its model in compiled form, as plain data.

In: JSON. Out: `Compiled` and its `CompiledPart`s. Knows neither torch nor the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = int | str
"""Of one axis: constant, or a name: axes of one name have one size."""
Arguments = Mapping[str, Any]
"""What holds the tensors: {"tensor": null}, {"tuple": [...]}, {"list": [...]}, {"dict": [[key, ...]]}, {"value": 1}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPart:
    """One module, compiled."""

    path: str
    """The module's place in the model."""
    file: str
    """Inside the artifact's folder."""
    sha256: str
    arguments: Arguments
    """A call that it was compiled for. Any other runs as it is: native code checks nothing."""
    tensors: tuple[tuple[str, tuple[Size, ...]], ...]
    """The type and the sizes of each tensor among the arguments."""
    least: Mapping[str, int]
    """Of some names, the smallest size that it was compiled for; others may be 1."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "path": self.path,
            "file": self.file,
            "sha256": self.sha256,
            "arguments": self.arguments,
            "tensors": [{"dtype": dtype, "sizes": list(sizes)} for dtype, sizes in self.tensors],
            "least": dict(self.least),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CompiledPart":
        """Read what `to_json` wrote."""
        return cls(
            path=data["path"],
            file=data["file"],
            sha256=data["sha256"],
            arguments=data["arguments"],
            tensors=tuple((one["dtype"], tuple(one["sizes"])) for one in data["tensors"]),
            least=data["least"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """All that is compiled, and for what."""

    target: Mapping[str, str]
    """What the machine must be, word for word."""
    parts: tuple[CompiledPart, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {"target": dict(self.target), "parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Compiled":
        """Read what `to_json` wrote."""
        return cls(target=data["target"], parts=tuple(CompiledPart.from_json(one) for one in data["parts"]))
