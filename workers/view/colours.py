"""What the colour of a point means.

In: points and the name of a column, or entity, time or drift. Out: `Colouring`: groups, or a scale. Knows no picture.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.embeddings import EVENT_TIMESTAMP
from workers.core.errors import Refused
from workers.view.points import Points

MOST_GROUPS = 12
OTHER, UNLABELLED = "other", "(no label)"
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9",
    "#8C6D31", "#7B4173", "#637939", "#843C39", "#17BECF", "#3B3B3B",
)  # fmt: skip
"""Okabe and Ito's first, which everybody can tell apart; with more than these, the markers tell too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Colouring:
    """One colour for each point: by group, or by a number."""

    title: str
    names: tuple[str, ...] = ()
    """The groups, the largest first; empty for a scale."""
    group: NDArray[np.int64] | None = None
    """(n,) place in `names`."""
    values: NDArray[np.float64] | None = None
    """(n,) numbers of a scale."""
    ends: tuple[str, str] = ("", "")
    """What stands at the lower and the upper end of the scale."""


def colour(points: Points, by: str | None) -> Colouring:
    """Colour by a column, by `entity`, `time` or `drift`; None is the first that there is of entity and time."""
    if by is None:
        by = "entity" if points.ids else "time"
    if by == "entity":
        return _groups(_entities(points), ", ".join(points.ids) or "entity")
    if by in {"time", "drift"}:
        if EVENT_TIMESTAMP not in points.rows:
            message = f"colouring by {by} needs the column {EVENT_TIMESTAMP}, found {', '.join(points.rows.columns)}"
            raise Refused(message)
        return _time(points) if by == "time" else _drift(points)
    if by not in points.rows:
        message = f"no column {by!r} to colour by; there are entity, time, drift, {', '.join(points.rows.columns)}"
        raise Refused(message)
    column = points.rows[by]
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_GROUPS:
        numbers: NDArray[np.float64] = np.asarray(column, np.float64)
        return Colouring(title=by, values=numbers, ends=(f"{np.nanmin(numbers):.4g}", f"{np.nanmax(numbers):.4g}"))
    return _groups(column.map(lambda value: UNLABELLED if pd.isna(value) else str(value)), by)


def names_of(points: Points) -> list[str]:
    """Return each point's series as text."""
    return list(_entities(points))


def _entities(points: Points) -> "pd.Series[str]":
    if not points.ids:
        return pd.Series("row", index=points.rows.index)
    return points.rows[list(points.ids)].astype(str).agg(" ".join, axis=1)


def _groups(labels: "pd.Series[str]", title: str) -> Colouring:
    counts = labels.value_counts(sort=True)
    if len(counts) > MOST_GROUPS:
        frequent = set(counts.index[: MOST_GROUPS - 1])
        labels = labels.where(labels.isin(frequent), OTHER)
        counts = labels.value_counts()
    names = sorted(counts.index, key=lambda name: (name == OTHER, name))
    place = {name: index for index, name in enumerate(names)}
    return Colouring(title=title, names=tuple(names), group=labels.map(place).to_numpy(np.int64))


def _time(points: Points) -> Colouring:
    times = pd.to_datetime(points.rows[EVENT_TIMESTAMP], utc=True)
    numbers: NDArray[np.float64] = np.asarray(times.astype("int64"), np.float64)
    first, last = (moment.strftime("%Y-%m-%d %H:%M") for moment in (times.min(), times.max()))
    return Colouring(title="event time", values=numbers, ends=(first, last))


def _drift(points: Points) -> Colouring:
    """Measure how far each point lies from the middle of the first half of time, in units of that half's spread."""
    half = points.vectors[: max(1, len(points.vectors) // 2)].astype(np.float64)
    spread = half.std(axis=0)
    spread[spread == 0] = 1.0
    distance = np.sqrt((((points.vectors - half.mean(axis=0)) / spread) ** 2).mean(axis=1))
    title = "distance from the centre of the first half, in its standard deviations"
    return Colouring(title=title, values=distance, ends=(f"{distance.min():.2f}", f"{distance.max():.2f}"))
