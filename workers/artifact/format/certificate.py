"""The certificate in an artifact's manifest: the measurements made when it was packed.

In: plain values. Out: `Certificate`, its JSON form and the lines that `undertow pack` prints. Knows no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from undertow.artifact.format.sight import Sight
from undertow.schemas.wording import between, counted

SHOWN = 3
"""How many attributes a line names; the rest are counted. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureProof:
    """The differences found in a feature's sample vectors, relative to their largest number (or to 1 if smaller)."""

    name: str
    hidden: tuple[int, ...]
    """Shape of the hidden state for all sample windows in one batch, as the module gave it."""
    alone: float
    """Each window alone, compared with all in one batch."""
    shuffled: float
    """The windows in another order, and so in other batches."""
    whole: float
    """The trained model run to its end with plain hooks, compared with the packed one."""
    left_open: float = 0.0
    """The model's own float32 error, its distance to float64. Twice this was allowed in addition; 0 if not needed."""
    sight: Sight | None = None
    """The inputs on which it depends; None if not measured, as in artifacts of older versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OddWindows:
    """Windows unlike those of training, such as windows of zeros."""

    kind: str
    outcome: str
    """Empty if they were embedded; otherwise what happened to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What was tried beyond the sample windows: large batches, odd windows."""

    sizes: tuple[int, ...]
    """Sizes of batches in which each window had the same vector as alone."""
    max_windows: int | None
    """The most windows that one forward takes, if a batch was too large (larger ones are cut); None without a limit."""
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
    """Whether concurrent forwards disturb each other."""

    agree: bool
    """Whether windows had the same vectors while another thread embedded other windows."""
    writes: tuple[str, ...]
    """Attributes of the model that a forward writes, and which a concurrent one could overwrite."""

    @property
    def is_safe(self) -> bool:
        """Whether forwards may run concurrently, without a lock."""
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
    """What was measured at packing. All of it was within the tolerance: otherwise no artifact is written."""

    windows: int
    shortest: int
    longest: int
    tolerance: float
    features: tuple[FeatureProof, ...]
    inputs: int | None
    """How many numbers of the inputs were equal to a TimeSeriesDataSet's; None if the model was trained without one."""
    parameters: int
    """How many parameters (numbers) the trained model has."""
    kept: int
    """How many of them are in the artifact."""
    weights_bytes: int
    batches: Batches | None = None
    """None if not tried, as in artifacts of older versions; so are `threads`."""
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
