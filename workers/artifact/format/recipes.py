"""How to build the model of an artifact: a class of pytorch-forecasting, or a class of the user's own.

In: plain data. Out: recipes and their JSON. Knows neither torch nor any model, and imports nothing by name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from undertow.artifact.format.outputs import Output

Axes = Literal["ntc", "nct", "tnc", "nf"]
"""The axes of a plain module's input: n windows, t steps, c columns; f = t * c, step after step."""
Dtype = Literal["float32", "int64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """A model of pytorch-forecasting, or of a user's class derived from one."""

    cls: str
    """One of `undertow.artifact.load.models.CLASSES`, or a user's class as `package.module:Name`."""
    hyperparameters: Mapping[str, Any]
    """Plain JSON data."""
    targets: tuple[str, ...]
    """Names of the targets, which some models omit from their inputs."""
    losses: tuple[str, ...]
    """Classes of `pytorch_forecasting.metrics`, one for each target; they decide the size of some models' output."""
    outputs: tuple[Output, ...]
    """How the model's output is scaled back, one for each loss."""
    source: str | None = None
    """For a user's class, the SHA-256 of the file that defines it; omitted from the JSON form of others."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            **({} if self.source is None else {"source": self.source}),
            "class": self.cls,
            "hyperparameters": dict(self.hyperparameters),
            "targets": list(self.targets),
            "losses": list(self.losses),
            "outputs": [output.to_json() for output in self.outputs],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleInput:
    """How a plain module is called."""

    argument: str | None = None
    """The keyword of the input tensor; None passes it as the first positional argument."""
    axes: Axes = "ntc"
    dtype: Dtype = "float32"
    """float32 for scaled numbers, int64 for the codes of categories."""
    lengths: str | None = None
    """The keyword that takes the (n,) int64 lengths of padded windows, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRecipe:
    """Any `nn.Module`, by the name of the class or function that makes it."""

    cls: str
    """`package.module:Name` of a class, or of a function that is annotated to return a module."""
    arguments: Mapping[str, Any]
    """Keyword arguments: plain JSON data."""
    source: str
    """SHA-256 of the file that defines it, since other code means another space."""
    input: ModuleInput

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "kind": "module",
            "class": self.cls,
            "arguments": dict(self.arguments),
            "source": self.source,
            "input": asdict(self.input),
        }


Recipe = ModelRecipe | ModuleRecipe


def recipe_from_json(data: Mapping[str, Any]) -> Recipe:
    """Read what a recipe's `to_json` wrote."""
    if data.get("kind") == "module":
        return ModuleRecipe(
            cls=data["class"],
            arguments=data["arguments"],
            source=data["source"],
            input=ModuleInput(**data["input"]),
        )
    return ModelRecipe(
        cls=data["class"],
        hyperparameters=data["hyperparameters"],
        targets=tuple(data["targets"]),
        losses=tuple(data["losses"]),
        outputs=tuple(map(Output.from_json, data["outputs"])),
        source=data.get("source"),
    )
