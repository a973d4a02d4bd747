"""How a model's output is scaled back to its targets: what is kept of losses and target normalizers.

In: plain values. Out: `Output`, one for each target, and its JSON form. Knows neither torch nor any model, nor centre
and scale, which differ by window.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalizer:
    """How scaled numbers are turned back."""

    transformation: str | None
    """The function to invert after unscaling; one of `undertow.core.transformations.NAMES`."""
    center: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The model's output for one target."""

    quantiles: tuple[float, ...] | None
    """The quantiles of its loss, if it has any."""
    normalizer: Normalizer | None
    """None if the model's normalizer is not plain data: then the output cannot be scaled back."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "quantiles": None if self.quantiles is None else list(self.quantiles),
            "normalizer": None if self.normalizer is None else asdict(self.normalizer),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Output":
        """Read what `to_json` wrote."""
        return cls(
            quantiles=None if data["quantiles"] is None else tuple(data["quantiles"]),
            normalizer=None if data["normalizer"] is None else Normalizer(**data["normalizer"]),
        )
