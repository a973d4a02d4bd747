"""A picture before it is drawn: coordinates, colours and texts.

In: rows and their colours. Out: `Picture`, the same for every kind of file. Knows neither matplotlib nor HTML.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.times import format_times
from undertow.schemas.wording import counted
from undertow.view.colour import MINUTES, Colouring
from undertow.view.read import SampledRows

LONGEST = 32
MOST_NEIGHBOURS = 3000
"""The most rows for t-SNE, which then takes about ten seconds."""
PCA_TITLE, TSNE_TITLE = "PCA: the two widest directions", "t-SNE: who is whose neighbour"
TSNE_AXIS = "for looking only: distances between groups say nothing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Each row's coordinates in both projections."""

    pca: NDArray[np.float64]
    """(n, 2)"""
    shares: tuple[float, float]
    """The share of the variance in the first and the second component."""
    tsne: NDArray[np.float64]
    """(m, 2), of the first m rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """What to draw. Row i is the same in all of it."""

    title: str
    note: str
    """What the points are, and how many of all rows."""
    projection: Projection
    colouring: Colouring
    ids: Mapping[str, NDArray[Any]]
    """What names the entity, each (n,)."""
    event_us: NDArray[np.int64] | None

    def axes(self) -> tuple[str, str]:
        """Return the labels of the PCA's axes."""
        first, second = self.projection.shares
        return f"first component, {first:.1%} of the variance", f"second component, {second:.1%}"

    def tsne_axis(self) -> str:
        """Return the label below the t-SNE, which says so where it holds fewer points."""
        shown, whole = len(self.projection.tsne), len(self.projection.pca)
        return TSNE_AXIS if shown == whole else f"{shown:,} of the points, {TSNE_AXIS}"


def describe(rows: SampledRows) -> str:
    """Say what is drawn: how many rows of how many, and what was left out."""
    count, size = rows.vectors.shape
    if rows.is_sampled:
        parts = [f"an even sample of {count:,} of {rows.read:,} rows"]
    else:
        parts = [counted(count, "row")]
        if older := rows.read - rows.unusable - count:
            parts.append(f"{older:,} older versions of them left out")
    if rows.unusable:
        parts.append(f"{rows.unusable:,} left out for want of a time or a finite vector")
    named = [f"{rows.feature}, {counted(size, 'dimension')}"]
    named += [] if rows.space is None else [f"space {rows.space[:8]}"]
    timed = [] if rows.event_us is None else [_span(rows.event_us)]
    return " · ".join([*named, "; ".join(parts), *timed])


def _span(event_us: NDArray[np.int64]) -> str:
    first, last = (
        text[:MINUTES].replace("T", " ") for text in format_times(np.array([event_us.min(), event_us.max()]))
    )
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def readable(text: str, longest: int = LONGEST) -> str:
    """Make a text fit for a picture: one line, without control characters, cut if long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
