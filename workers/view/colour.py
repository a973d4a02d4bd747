"""The colours of a picture: categories by colour and marker, or numbers on a scale.

In: rows and the name of a column, or `entity`, `time` or `drift`. Out: `Categories` or `Scale`. Knows no drawing.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.schemas.times import format_times
from undertow.view.read import SampledRows

ENTITY, TIME, DRIFT = "entity", "time", "drift"
INK = "#3B3B3B"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", INK)  # Okabe and Ito's: safe for all
MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "plus", "cross")
GREY, SMALL = "#9A9A9A", "dot"
MOST_CATEGORIES = 12
# Matplotlib's viridis (CC0) at equal steps: as even to the eye as it is in numbers, and in grey too.
VIRIDIS = (
    *("#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c"),
    *("#1fa088", "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725"),
)
TICKS, TIME_TICKS = 5, 3
HOUR_US, DAY_US, FEW = 3_600e6, 86_400e6, 10
NUMBER = re.compile(r"([0-9]+)")
DAYS, MINUTES, SECONDS = 10, 16, 19
"""Letters of an ISO time that are worth showing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One entry of the legend."""

    name: str
    colour: str
    marker: str
    """One of `MARKERS`, or `SMALL`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Categories:
    """Each row is of one category."""

    title: str
    entries: tuple[Category, ...]
    codes: NDArray[np.int64]
    """(n,) positions in `entries`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """Each row has a number; NaN where it is not known."""

    title: str
    numbers: NDArray[np.float64]
    low: float
    high: float
    """The ends of the colour scale: the 1st and the 99th percentile, so that one outlier does not make all others look
    alike."""
    is_time: bool
    """Whether the values are microseconds since the epoch."""

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return values to mark, and their texts."""
        at = np.linspace(self.low, self.high, TIME_TICKS if self.is_time else TICKS)
        texts = _times(at) if self.is_time else [f"{value:.4g}" for value in at]
        with np.errstate(invalid="ignore"):
            if (self.numbers < self.low).any():
                texts[0] = f"≤ {texts[0]}"
            if (self.numbers > self.high).any():
                texts[-1] = f"≥ {texts[-1]}"
        return tuple(zip(at.tolist(), texts, strict=True))


Colouring = Categories | Scale


def choose_colours(rows: SampledRows, name: str) -> Colouring:
    """Return the colours by a column, or else by entity, time or drift. Raises `Refused` for another name."""
    if name in rows.frame:
        return _by_column(rows.frame[name], name)
    if name == ENTITY and rows.ids:
        texts = rows.frame[list(rows.ids)].astype(str).agg(" ".join, axis=1)
        return categories(texts.to_numpy(object), title=" ".join(rows.ids))
    if rows.event_us is not None:
        if name in {TIME, EVENT_TIMESTAMP}:
            return _scale(rows.event_us.astype(np.float64), EVENT_TIMESTAMP, is_time=True)
        if name == DRIFT:
            return _scale(drift(rows.vectors, rows.event_us), "drift (spreads from the earlier half's centre)")
    known = [*map(str, rows.frame.columns), *([ENTITY] if rows.ids else [])]
    known += [] if rows.event_us is None else [TIME, DRIFT]
    close = get_close_matches(name, known, 1)
    hint = f"; closest: {close[0]!r}" if close else ""
    message = f"cannot colour by {name!r}: there are {', '.join(known) or 'no other columns'}{hint}"
    raise Refused(message)


def categories(values: NDArray[np.object_], *, title: str) -> Categories:
    """Give the most frequent values a colour and a marker each, and all others and nulls a small grey dot."""
    counts = pd.Series(values, dtype=object).value_counts(dropna=True)
    # Of equally frequent ones the first by name, whatever the order of the rows.
    ranked = sorted(counts.index, key=lambda value: (-counts[value], str(value)))
    shown = sorted(ranked[:MOST_CATEGORIES], key=_natural)
    entries = [
        # Seven of each, shifted after every seventh: no two of 49 are alike.
        Category(name=str(value), colour=PALETTE[i % 7], marker=MARKERS[(i + i // 7) % 7])
        for i, value in enumerate(shown)
    ]
    positions = {value: code for code, value in enumerate(shown)}
    rest = len(ranked) - len(shown)
    if rest:
        positions |= dict.fromkeys(ranked[MOST_CATEGORIES:], len(entries))
        entries.append(Category(name=f"other ({rest:,})", colour=GREY, marker=SMALL))
    codes = np.array([positions.get(value, len(entries)) for value in values], np.int64)
    if (codes == len(entries)).any():
        entries.append(Category(name="none", colour=GREY, marker=SMALL))
    return Categories(title=title, entries=tuple(entries), codes=codes)


def _natural(value: object) -> tuple[tuple[float, str], ...]:
    """Sort numbers inside texts by value: s2 comes before s10."""
    if isinstance(value, int | float):
        return ((float(value), ""),)
    return tuple((float(part), "") if part.isdecimal() else (np.inf, part) for part in NUMBER.split(str(value)) if part)


def drift(vectors: NDArray[np.floating], event_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far each row lies from the centre of the earlier half of the rows, in units of that half's spread.

    The spread is the root of the mean squared distance from the centre. Raises `Refused` where it is zero.
    """
    exact = np.asarray(vectors, np.float64)
    earlier = exact[np.argsort(event_us, kind="stable")[: max(1, len(exact) // 2)]]
    centre = earlier.mean(axis=0)
    spread = np.sqrt(((earlier - centre) ** 2).sum(axis=1).mean())
    if not spread > 0:
        message = "drift is measured in spreads of the earlier half of the rows, but those are all the same vector"
        raise Refused(message)
    distances: NDArray[np.float64] = np.linalg.norm(exact - centre, axis=1) / spread
    return distances


def _by_column(column: "pd.Series[Any]", name: str) -> Colouring:
    plain = column.convert_dtypes()
    if pd.api.types.is_datetime64_any_dtype(plain.dtype):
        times = plain.dt.as_unit("us")
        values = times.astype(np.int64).to_numpy().astype(np.float64)
        return _scale(np.where(times.isna(), np.nan, values), name, is_time=True)
    if pd.api.types.is_float_dtype(plain.dtype) or (
        pd.api.types.is_integer_dtype(plain.dtype) and plain.nunique() > MOST_CATEGORIES
    ):
        return _scale(plain.to_numpy(np.float64, na_value=np.nan).astype(np.float64), name)
    return categories(plain.astype(object).where(plain.notna(), None).to_numpy(object), title=name)


def _scale(values: NDArray[np.float64], title: str, *, is_time: bool = False) -> Scale:
    finite = values[np.isfinite(values)]
    if not len(finite):
        message = f"cannot colour by {title}: no row has a number there"
        raise Refused(message)
    low, high = np.quantile(finite, (0.01, 0.99))
    if low == high:
        low, high = finite.min(), finite.max()
    values = np.where(np.isfinite(values), values, np.nan)
    return Scale(title=title, numbers=values, low=float(low), high=float(high), is_time=is_time)


def _times(times_us: NDArray[np.float64]) -> list[str]:
    span = np.ptp(times_us)
    cut = DAYS if span > FEW * DAY_US else MINUTES if span > HOUR_US else SECONDS
    return [text[:cut].replace("T", " ") for text in format_times(times_us.astype(np.int64))]
