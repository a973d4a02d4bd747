"""The certificate in an artifact's manifest: the measurements made when it was packed.

In: plain values. Out: `Certificate`, its JSON form and the lines that `undertow pack` prints. Knows no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from undertow.artifact.format.sight import Sight
from undertow.schemas.wording import between, counted

SHOWN = 3
"""Attributes that are written out."""


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
class OddWindows:
    """Windows unlike those that a model was trained with."""

    kind: str
    outcome: str
    """Nothing where they were embedded; else what becomes of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What was tried beside the sample windows."""

    sizes: tuple[int, ...]
    """Windows of a batch in which each had the same vector."""
    max_windows: int | None
    """The most windows that one forward takes, where a batch was too large for it: it is then cut."""
    odd: tuple[OddWindows, ...]

    def lines(self) -> Iterator[str]:
        """Yield what a person wants to see."""
        cut = "" if self.max_windows is None else f"; no forward takes more than {self.max_windows}, so they are cut"
        yield f"the same in batches of {', '.join(f'{size:,}' for size in self.sizes)}{cut}"
        if whole := [one.kind for one in self.odd if not one.outcome]:
            yield f"embedded too: windows of {', of '.join(whole)}"
        yield from (f"windows of {one.kind}: {one.outcome}" for one in self.odd if one.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """Whether forwards of several threads at once disturb one another."""

    agree: bool
    """Whether windows had the same vectors while another thread embedded others."""
    writes: tuple[str, ...]
    """What a forward writes on the model itself, where another forward may do so too."""

    @property
    def is_safe(self) -> bool:
        """Whether they need not wait for each other."""
        return self.agree and not self.writes

    def lines(self) -> Iterator[str]:
        """Yield what a person wants to see."""
        if self.is_safe:
            yield "forwards of several threads may run at once: they were the same"
        elif self.writes:
            some = ", ".join(self.writes[:SHOWN]) + (
                f" and {len(self.writes) - SHOWN} more" * (len(self.writes) > SHOWN)
            )
            yield f"one forward at a time, whatever the threads: it writes {some} on the model"
        else:
            yield "one forward at a time, whatever the threads: beside another thread's, one gave other vectors"


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
    batches: Batches | None = None
    """None where that was not tried, as in artifacts of before; likewise the threads."""
    threads: Threads | None = None

    def lines(self, *, with_sight: bool = True) -> Iterator[str]:
        """Yield what a person wants to see."""
        yield (
            f"{counted(self.windows, 'sample window')} of {between(self.shortest, self.longest, 'step')}: "
            f"finite, the same again, and within {self.tolerance:g}:"
        )
        for one in self.features:
            yield (
                f"  {one.name}: hidden state {one.hidden}; alone {one.alone:.1g}, shuffled {one.shuffled:.1g}, "
                f"whole model {one.whole:.1g}"
                + (f" (float32 leaves {one.left_open:.1g} open)" if one.left_open else "")
            )
            if with_sight and one.sight is not None:
                yield from (f"    {words}" for words in one.sight.words())
        for more in (self.batches, self.threads):
            yield from () if more is None else more.lines()
        if self.inputs is not None:
            yield f"inputs equal TimeSeriesDataSet's: {self.inputs:,} numbers"
        yield f"{self.kept:,} of {self.parameters:,} parameters kept, {self.weights_bytes:,} bytes"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Certificate":
        """Read what `to_json` wrote."""
        batches, threads = data.get("batches"), data.get("threads")
        return cls(
            **{
                **data,
                "features": tuple(map(_proof, data["features"])),
                "batches": None if batches is None else _batches(batches),
                "threads": None if threads is None else Threads(**{**threads, "writes": tuple(threads["writes"])}),
            }
        )


def _batches(data: Mapping[str, Any]) -> Batches:
    odd = tuple(OddWindows(**one) for one in data["odd"])
    return Batches(sizes=tuple(data["sizes"]), max_windows=data["max_windows"], odd=odd)


def _proof(data: Mapping[str, Any]) -> FeatureProof:
    sight = data.get("sight")
    return FeatureProof(
        **{**data, "hidden": tuple(data["hidden"]), "sight": None if sight is None else Sight.from_json(sight)}
    )
