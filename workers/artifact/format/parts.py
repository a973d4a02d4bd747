"""The compiled parts of an artifact's model, as plain data.

In: JSON. Out: `Compiled` and its `CompiledPart`s. Knows neither torch nor the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = int | str
"""The size of an axis: a constant, or a name; axes with the same name have the same size."""
Arguments = Mapping[str, Any]
"""The structure of a call's arguments, in which tensors are holes: {"tensor": null}, {"tuple": [...]}, {"list": [...]},
{"dict": [[key, ...]]}, {"value": 1}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPart:
    """One module, compiled."""

    path: str
    """The module's path in the model."""
    file: str
    """Path of the package inside the artifact's folder."""
    sha256: str
    arguments: Arguments
    """The structure of the calls for which it was compiled. Any other call runs uncompiled: native code checks
    nothing."""
    tensors: tuple[tuple[str, tuple[Size, ...]], ...]
    """The dtype and the sizes of each tensor among the arguments."""
    least: Mapping[str, int]
    """By name, the smallest size for which it was compiled; for other names that is 1."""

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
    """All compiled parts, and the machine for which they were compiled."""

    target: Mapping[str, str]
    """The machine's properties, as `find_target` gives them; all must be equal."""
    parts: tuple[CompiledPart, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {"target": dict(self.target), "parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Compiled":
        """Read what `to_json` wrote."""
        return cls(target=data["target"], parts=tuple(CompiledPart.from_json(one) for one in data["parts"]))
