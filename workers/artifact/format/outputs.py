"""How a model's output becomes numbers of its targets: what is kept of losses and of target normalizers.

In: plain values. Out: `Output`, one for each target, and its JSON form. Knows neither torch nor any model. Centre and
scale are not here: each window brings its own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalizer:
    """What turns scaled numbers back."""

    transformation: str | None
    """The function that is undone behind the scaling; one of `undertow.core.transformations.NAMES`."""
    center: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a model gives for one target."""

    quantiles: tuple[float, ...] | None
    """Those of its loss, if it has any."""
    normalizer: Normalizer | None
    """None where the model has one that is no plain data: its output stays unknown."""

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
