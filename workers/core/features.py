"""What is taken from a model, and how: taps, poolings and where time lies in a tensor.

In: plain values, or the short text form that commands take. Out: `Tap`, `Layout`, `Feature`, also as JSON. Knows no
torch, so that a manifest can be read without it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from undertow.core.errors import Refused
from undertow.core.tap_texts import as_text, read_tap

POOLS = ("last", "mean", "max", "first", "flatten", "none")
AUTO = "auto"
"""Becomes `last` where a dry run finds steps, and `none` where it finds a vector."""

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

    Names with signs of their own stand in quotes: `"by.lag:7"#0["a]"]`.
    """

    path: str
    """As `named_modules` writes it."""
    call: int = 0
    """Which call of that module within one forward, from 0: an autoregressive model calls its cell many times. From the
    end it is negative, -1 the last one, in what a person writes; what is packed has the number that it was seen to be.
    """
    select: tuple[int | str, ...] = ()
    """Elements to take from a tuple or dict output, outermost first. What is then still a tuple gives its first."""

    def __str__(self) -> str:
        return f"{as_text(self.path)}#{self.call}" + "".join(f"[{as_text(str(element))}]" for element in self.select)

    @classmethod
    def parse(cls, text: str, paths: Collection[str] = ()) -> "Tap":
        """Read the text form; `paths` are the model's, where they are known."""
        tap, rest = cls.split(text, paths)
        if rest:
            raise Refused(_NO_TAP.format(text))
        return tap

    @classmethod
    def split(cls, text: str, paths: Collection[str] = ()) -> tuple["Tap", str]:
        """Read the text form and return what follows it, too: a pooling, a reduction."""
        read = read_tap(text, paths)
        if read is None:
            raise Refused(_NO_TAP.format(text))
        return cls(path=read.path, call=read.call, select=read.select), read.rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One pooling of a window's steps, or of a slice of them. As text: `mean`, `mean[-8:]`, `max[2:12]`."""

    pool: str
    """One of `POOLS`."""
    start: int | None = None
    stop: int | None = None

    def steps(self, length: int) -> range:
        """Return which steps of a window of that length it takes: those of a Python slice."""
        return range(length)[self.start : self.stop]

    def __str__(self) -> str:
        ends = ("" if end is None else str(end) for end in (self.start, self.stop))
        return self.pool if self.start is self.stop is None else f"{self.pool}[{':'.join(ends)}]"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read the text form."""
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
    """What a dry run has shown of a tap's tensor."""

    batch_axis: int
    """The axis of the windows."""
    rows: int = 1
    """How many entries of that axis belong to one window, one after the other: steps or targets folded into it."""
    time_axis: int | None = None
    """The axis of the steps, once the windows are the first axis and, where there are several, their rows the second;
    whatever is left are channels. None where the tensor is a vector."""
    steps: int | None = None
    """The tensor has this many steps more than the batch's longest window (negative: it begins that much later).

    None where its steps do not follow the window's: then every step counts.
    """
    size: int
    """Dimensions of the pooled vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One vector: a tap and how its hidden state becomes it. As text: `tap:pool`, such as `rnn:last+mean[-8:]`."""

    tap: Tap
    pool: str = AUTO
    """A `Part`, or several joined by +, whose vectors are concatenated; or `AUTO`."""
    pca: int | None = None
    """How many dimensions a PCA, fitted when packed, leaves of the pooled vector."""
    l2: bool = False
    """Whether each vector is divided by its length in the end; one without length stays 0."""

    @property
    def pools(self) -> tuple[Part, ...]:
        """The parts of `pool`, in order, none of `AUTO`; refuses those that do not exist."""
        parts = () if self.pool == AUTO else tuple(map(Part.parse, self.pool.split("+")))
        if any(part.pool == "none" for part in parts) and parts != (Part(pool="none"),):
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
        """Read the text form; without a pooling it is `AUTO`. `paths` are the model's, where they are known."""
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
    """Read `FEATURE=tap:pool`, each under its name; without one it is `embedding`. Raises `Refused`."""
    features: dict[str, str] = {}
    for text in texts:
        match = _NAMED.fullmatch(text)
        name, feature = (match["name"], match["feature"]) if match else ("embedding", text)
        if name in features:
            message = f"expected one tap for each feature, found a second one for {name}; name them: hidden=rnn:last"
            raise Refused(message)
        features[name] = feature
    return features


@dataclass(frozen=True, slots=True, kw_only=True)
class TappedFeature:
    """A feature whose tap was seen to fire."""

    name: str
    feature: Feature
    layout: Layout

    @property
    def size(self) -> int:
        """Dimensions of its vectors."""
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
