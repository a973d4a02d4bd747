"""What is taken from a model, and how: taps, poolings, and which axis of a tensor is time.

In: plain values, or the text form of the command line. Out: `Tap`, `Layout`, `Feature`, also as JSON. Knows no torch,
so that a manifest can be read without importing it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from undertow.core.errors import Refused, WrongUsage
from undertow.core.tap_texts import as_text, read_tap

POOLS = ("last", "mean", "max", "first", "flatten", "none")
AUTO = "auto"
"""Packing replaces it: by `last` if the tap has steps, by `none` if it gives one vector for each window."""

_NO_TAP = (
    "expected a tap such as rnn, rnn#0, rnn#-1 (the last call) or lstm_encoder#0[1][0], found {!r}; a name that holds "
    'one of #[]:, stands in quotes: "by.lag:7":mean'
)
_PART = re.compile(r"(?P<pool>[^\[\]]+)(\[(?P<start>-?\d+)?:(?P<stop>-?\d+)?\])?")
_REDUCTIONS = re.compile(r"(pca=(?P<pca>[1-9]\d*))?((?(1),)(?P<l2>l2))?")
_NAMED = re.compile(r"(?P<name>\w+)=(?P<feature>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One named point in the model. As text: `path`, `path#call`, `path#call[element][element]`.

    Names that contain one of these separators are quoted: `"by.lag:7"#0["a]"]`.
    """

    path: str
    """The module's path, as torch's `named_modules` gives it."""
    call: int = 0
    """Which call of the module within one forward, from 0: an autoregressive model calls its cell many times. Users may
    count from the end (-1 is the last call); packing replaces that by the number from 0.
    """
    select: tuple[int | str, ...] = ()
    """Elements to take from a tuple or dict output, outermost first. If the result is still a tuple, its first element
    is taken."""

    def __str__(self) -> str:
        return f"{as_text(self.path)}#{self.call}" + "".join(f"[{as_text(str(element))}]" for element in self.select)

    @classmethod
    def parse(cls, text: str, paths: Collection[str] = ()) -> "Tap":
        """Parse the text form; `paths` are the model's module paths, if known. Raises `Refused`."""
        tap, rest = cls.split(text, paths)
        if rest:
            raise Refused(_NO_TAP.format(text))
        return tap

    @classmethod
    def split(cls, text: str, paths: Collection[str] = ()) -> tuple["Tap", str]:
        """Parse the tap at the start of a text; return also the rest: a pooling, a reduction."""
        read = read_tap(text, paths)
        if read is None:
            raise Refused(_NO_TAP.format(text))
        return cls(path=read.path, call=read.call, select=read.select), read.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """One pooling of a window's steps, or of a slice of them. As text: `mean`, `mean[-8:]`, `max[2:12]`."""

    pool: str
    """One of `POOLS`."""
    start: int | None = None
    stop: int | None = None

    def steps(self, length: int) -> range:
        """Return the steps that the slice takes of a window of that length, by Python's rules of slices."""
        return range(length)[self.start : self.stop]

    def __str__(self) -> str:
        ends = ("" if end is None else str(end) for end in (self.start, self.stop))
        return self.pool if self.start is self.stop is None else f"{self.pool}[{':'.join(ends)}]"

    @classmethod
    def parse(cls, text: str) -> "Pooling":
        """Parse the text form. Raises `Refused`."""
        match = _PART.fullmatch(text)
        if match is None:
            message = f"expected a pooling with or without a slice of steps, such as mean[-8:], found {text!r}"
            raise Refused(message)
        if match["pool"] not in POOLS:
            message = f"no pooling {match['pool']!r}; there are {', '.join(POOLS)}, joined by +"
            raise Refused(message)
        start, stop = (None if match[end] is None else int(match[end]) for end in ("start", "stop"))
        return cls(pool=match["pool"], start=start, stop=stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The axes of a tap's tensor, as found by dry runs."""

    batch_axis: int
    """The axis of the windows."""
    rows: int = 1
    """How many consecutive entries of that axis belong to one window, if steps or targets are folded into it."""
    time_axis: int | None = None
    """The axis of the steps, counted after the windows were moved to the first axis and several rows, if any, to the
    second. The other axes are channels. None if the tensor has no steps."""
    steps: int | None = None
    """How many steps more the tensor has than the batch's longest window (negative: it begins so many steps later).

    None if its number of steps does not depend on the window's length: then all of them are pooled.
    """
    size: int
    """Number of dimensions of the pooled vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A tap, and how its hidden state becomes one vector. As text: `tap:pool`, such as `rnn:last+mean[-8:]`.

    Examples:
        >>> feature = undertow.Feature.parse("rnn#1:last+mean[-8:],pca=16,l2")
        >>> feature.tap.path, feature.tap.call, feature.pool, feature.pca, feature.l2
        ('rnn', 1, 'last+mean[-8:]', 16, True)
    """

    tap: Tap
    pool: str = AUTO
    """The text of one `Pooling`, or of several joined by + (their vectors are concatenated), or `AUTO`."""
    pca: int | None = None
    """To how many dimensions a PCA, fitted by packing, reduces the pooled vector; None for no PCA."""
    l2: bool = False
    """Whether each vector is divided by its L2 norm at the end; a vector of zeros stays as it is."""

    @property
    def pools(self) -> tuple[Pooling, ...]:
        """The parts of `pool`, in order; empty for `AUTO`. Raises `Refused` for a pooling that does not exist."""
        parts = () if self.pool == AUTO else tuple(map(Pooling.parse, self.pool.split("+")))
        if any(part.pool == "none" for part in parts) and parts != (Pooling(pool="none"),):
            message = (
                "the pooling none takes a vector as it is, so there are no steps to slice and nothing can be joined to "
                f"it, found {self.pool!r}"
            )
            raise Refused(message)
        return parts

    def __str__(self) -> str:
        return f"{self.tap}:{self.pool}" + (f",pca={self.pca}" if self.pca else "") + (",l2" if self.l2 else "")

    @classmethod
    def parse(cls, text: str, paths: Collection[str] = ()) -> "Feature":
        """Parse the text form; the pooling defaults to `AUTO`. `paths` are the model's module paths, if known."""
        tap, rest = Tap.split(text, paths)
        pool, *reductions = rest.removeprefix(":").split(",")
        match = _REDUCTIONS.fullmatch(",".join(reductions))
        if match is None:
            message = (
                "expected behind the tap and its pooling ,pca=N or ,l2 or ,pca=N,l2 (normalised after, never before), "
                f"found ,{','.join(reductions)}; t-SNE can place no new window, so it is for pictures only"
            )
            raise Refused(message)
        feature = cls(
            tap=tap,
            pool=pool or AUTO,
            pca=int(match["pca"]) if match["pca"] else None,
            l2=match["l2"] is not None,
        )
        _ = feature.pools
        return feature


def name_features(texts: Sequence[str]) -> dict[str, str]:
    """Split texts of the form `NAME=tap:pool`; the default name is `embedding`. Raises `WrongUsage` for two of one."""
    features: dict[str, str] = {}
    for text in texts:
        match = _NAMED.fullmatch(text)
        name, feature = (match["name"], match["feature"]) if match else ("embedding", text)
        if name in features:
            message = f"expected one tap for each feature, found a second one for {name}; name them: hidden=rnn:last"
            raise WrongUsage(message)
        features[name] = feature
    return features


@dataclass(frozen=True, slots=True, kw_only=True)
class TappedFeature:
    """A feature with the layout that dry runs found at its tap."""

    name: str
    feature: Feature
    layout: Layout

    @property
    def size(self) -> int:
        """Number of dimensions of the feature's vectors."""
        return self.feature.pca or self.layout.size

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TappedFeature":
        """Read what `to_json` wrote."""
        feature, tap = data["feature"], data["feature"]["tap"]
        return cls(
            name=data["name"],
            feature=Feature(
                tap=Tap(path=tap["path"], call=tap["call"], select=tuple(tap["select"])),
                pool=feature["pool"],
                pca=feature["pca"],
                l2=feature["l2"],
            ),
            layout=Layout(**data["layout"]),
        )
