"""Lay cells out on the grid, and fill the holes between them.

In: `Cells`, what becomes of holes. Out: `Gridded` columns. A hole is decided by what was observed before it; nothing is
filled behind a series' last observation. Knows no window.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.observations.category_places import Numbers
from undertow.observations.cells import Cells
from undertow.observations.fills import Fill
from undertow.schemas.arrow_columns import Mask, Rows

MOST_STEPS = 1 << 31
"""The most steps of all series together that are laid out: 16 GiB a column."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridSteps:
    """Steps of all series, ordered by series, then grid point: the cells, and those that are inserted."""

    series: Rows
    """(g,) the number of the series."""
    index: Rows
    """(g,) the grid point."""
    observed: Mask
    """(g,) whether it is a cell."""

    def spread(self, cells: Numbers) -> Numbers:
        """Return (g,) the value of each cell in its place, and NaN elsewhere."""
        if self.observed.all():
            return cells.copy()
        column = np.full(len(self.series), np.nan)
        column[self.observed] = cells
        return column


def lay_out(cells: Cells, *, max_gap: int, beside_observed: bool) -> GridSteps:
    """Insert up to `max_gap` steps wherever grid points lack between two cells of a series.

    Of longer gaps the first steps are needed only if windows may end beside observed cells. Raises `Refused` where that
    is more than fits.
    """
    lacking = np.zeros(len(cells.index), np.int64)
    same = cells.series[1:] == cells.series[:-1]
    lacking[:-1] = np.where(same, np.diff(cells.index) - 1, 0)
    inserted = np.where(lacking <= max_gap, lacking, max_gap if beside_observed else 0)
    steps = len(inserted) + int(inserted.sum())
    if steps > MOST_STEPS:
        message = (
            f"expected at most {MOST_STEPS:,} steps with those that are filled, found {steps:,}: is windows.every as "
            "it is meant? Else lower windows.max_gap"
        )
        raise Refused(message)
    if steps == len(inserted):
        return GridSteps(series=cells.series, index=cells.index, observed=np.ones(steps, np.bool_))
    places = np.repeat(np.arange(len(inserted)), inserted + 1)
    begins = np.cumsum(inserted + 1) - (inserted + 1)
    after = np.arange(steps) - begins[places]
    return GridSteps(series=cells.series[places], index=cells.index[places] + after, observed=after == 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gridded:
    """Columns on the steps of a layout, with their holes filled."""

    values: Mapping[str, Numbers]
    """By column, (g,); NaN at missing steps, and at holes that stay."""
    whole: Mask
    """(g,) whether the step has a value in each column."""
    missing: Mask
    """(g,) whether the step is missing whole, so that a window may reach across it and not begin or end there."""


def fill_holes(
    layout: GridSteps, columns: Mapping[str, Numbers], fills: Mapping[str, Fill], *, max_gap: int
) -> Gridded:
    """Fill the holes of each column, by its rule: at most `max_gap` in a row. Constants are numbers already."""
    steps = len(layout.series)
    firsts = _first_of_series(layout.series)
    broken, missing = np.zeros(steps, np.bool_), np.zeros(steps, np.bool_)
    filled: dict[str, Numbers] = {}
    for name, column in columns.items():
        holes, fill = np.isnan(column), fills[name]
        filled[name] = column
        if not holes.any():
            continue
        if fill.kind == "none":
            broken |= holes
            continue
        before = np.maximum.accumulate(np.where(holes, -1, np.arange(steps)))
        has_value = before >= firsts
        since = layout.index - np.where(has_value, layout.index[before], layout.index[firsts] - 1)
        near = holes & (since <= max_gap)
        if fill.kind == "forward":
            near &= has_value
            filled[name] = np.where(near, column[before], column)
        elif fill.kind == "constant":
            filled[name] = np.where(near, float(fill.constant), column)
        else:
            missing |= near
        broken |= holes & ~near
    missing &= ~broken
    for column in filled.values() if missing.any() else ():
        column[missing] = np.nan  # a step is missing in every column, or in none
    return Gridded(values=filled, whole=~(broken | missing), missing=missing)


def _first_of_series(series: Rows) -> NDArray[np.int64]:
    """Return (g,) where each step's series begins."""
    begins = np.ones(len(series), np.bool_)
    begins[1:] = series[1:] != series[:-1]
    return np.maximum.accumulate(np.where(begins, np.arange(len(series)), 0))
