"""What was seen of an artifact when it was packed: the certificate in its manifest.

In: plain values. Out: `Certificate`, its JSON form and the lines that `undertow pack` prints. Knows no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workers.artifact.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureProof:
    """How far a feature's sample vectors lay apart, in units of the largest number in them or of 1."""

    name: str
    hidden: tuple[int, ...]
    """Shape of the hidden state for all sample windows at once, as the module gave it."""
    alone: float
    """Each window by itself, held against all at once."""
    shuffled: float
    """The windows in another order, among others of their length or not."""
    whole: float
    """The trained model run to its end with plain hooks, held against the packed one."""
    left_open: float = 0.0
    """What float32 leaves open: the distance to double precision, allowed twice on top; 0 where that was not needed."""
    sight: Sight | None = None
    """What it depends on; None where that was not measured, as in artifacts of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """All of it held, or there would be no artifact: finite, the same again, and within the tolerance below."""

    windows: int
    shortest: int
    longest: int
    tolerance: float
    features: tuple[FeatureProof, ...]
    inputs: int | None
    """How many numbers of the inputs were equal to a TimeSeriesDataSet's; None where the model had no such data set."""
    parameters: int
    """Of the trained model."""
    kept: int
    """Of these, in the artifact."""
    weights_bytes: int

    def lines(self, *, with_sight: bool = True) -> Iterator[str]:
        """Yield what a person wants to see."""
        yield (
            f"{self.windows} sample windows of {self.shortest} to {self.longest} steps: finite, the same again, and "
            f"within {self.tolerance:g}:"
        )
        for one in self.features:
            yield (
                f"  {one.name}: hidden state {one.hidden}; alone {one.alone:.1g}, shuffled {one.shuffled:.1g}, "
                f"whole model {one.whole:.1g}"
                + (f" (float32 leaves {one.left_open:.1g} open)" if one.left_open else "")
            )
            if with_sight and one.sight is not None:
                yield from (f"    {words}" for words in one.sight.words())
        if self.inputs is not None:
            yield f"inputs equal TimeSeriesDataSet's: {self.inputs:,} numbers"
        yield f"{self.kept:,} of {self.parameters:,} parameters kept, {self.weights_bytes:,} bytes"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Certificate":
        """Read what `to_json` wrote."""
        return cls(**{**data, "features": tuple(map(_proof, data["features"]))})


def _proof(data: Mapping[str, Any]) -> FeatureProof:
    sight = data.get("sight")
    return FeatureProof(
        **{**data, "hidden": tuple(data["hidden"]), "sight": None if sight is None else Sight.from_json(sight)}
    )
