"""The observations of one grid point become one value a column.

In: `Observations`, in any order. Out: `Cells`, in order of series and grid point. The same set of observations gives
the same bits, whatever their order: of equal times the content decides, and sums are taken in order of time and value,
one after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from undertow.observations.category_places import Numbers
from undertow.observations.read import Observations
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.window_faults import FLOAT32_MAX


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """What was observed of each series at each grid point, ordered by series, then grid point."""

    series: Rows
    """(c,) the number of the series."""
    index: Rows
    """(c,) the grid point."""
    values: Mapping[str, Numbers]
    """By column, (c,); NaN where nothing was observed of it."""


def combine_cells(seen: Observations, rules: Mapping[str, str]) -> Cells:
    """Return the cells, of the columns that `rules` says how to combine."""
    order = _order(seen)
    series, times, index = (column[order] for column in (seen.series, seen.time_us, seen.index))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (series[1:] != series[:-1]) | (index[1:] != index[:-1])
    starts = np.flatnonzero(begins)
    values = {name: seen.values[name][order] for name in rules}
    if len(starts) < len(order):
        cell = np.cumsum(begins) - 1
        tied = _tied(series, times)
        created = None if seen.created is None else seen.created[order]
        for name, rule in rules.items():
            column = _settle_ties(values[name], created, *tied) if len(tied[0]) else values[name]
            values[name] = _combine(rule, column, cell, starts)
    return Cells(series=series[starts], index=index[starts], values=values)


def _order(seen: Observations) -> Rows:
    """Return (n,) the rows by series, then time. Times in order are grid points in order."""
    series, times = seen.series, seen.time_us
    same, later = series[1:] == series[:-1], times[1:] >= times[:-1]
    if np.all((series[1:] > series[:-1]) | (same & later)):
        return np.arange(len(series))
    first = int(times.min())
    span = int(times.max()) - first + 1
    if (int(series.max()) + 1) * span < np.iinfo(np.int64).max:  # one key is sorted twice as fast as two
        return np.argsort(series * span + (times - first), kind="stable")
    return np.lexsort((times, series))


def _tied(series: Rows, times: Rows) -> tuple[Rows, Rows]:
    """Return the places of observations that share series and time with another, and the number of each one's group."""
    same = (series[1:] == series[:-1]) & (times[1:] == times[:-1])
    shares = np.zeros(len(series), np.bool_)
    shares[1:] |= same
    shares[:-1] |= same
    places = np.flatnonzero(shares)
    return places, np.cumsum(np.concatenate([[True], ~same]))[places] if len(places) else places


def _settle_ties(column: Numbers, created: Numbers | None, places: Rows, groups: Rows) -> Numbers:
    """Put observations of one time in an order that follows from their content: by `created`, then by value."""
    tied = column[places]
    same = (tied[1:] == tied[:-1]) | (np.isnan(tied[1:]) & np.isnan(tied[:-1]))
    if np.all(same | (groups[1:] != groups[:-1])):
        return column  # copies of each other: any order is the same
    keys = (tied, groups) if created is None else (tied, *created[places].T[::-1], groups)
    settled = column.copy()
    settled[places] = tied[np.lexsort(keys)]  # groups stay where they are
    return settled


def _combine(rule: str, column: Numbers, cell: Rows, starts: Rows) -> Numbers:
    """Return one value for each cell; NaN for those that have none."""
    if rule == "min":
        return np.asarray(np.fmin.reduceat(column, starts))
    if rule == "max":
        return np.asarray(np.fmax.reduceat(column, starts))
    there = ~np.isnan(column)
    if rule == "last":
        newest = np.maximum.reduceat(np.where(there, np.arange(len(column)), -1), starts)
        return np.where(newest < 0, np.nan, column[newest])
    # bincount adds one after the other, unlike numpy's sum, whose order depends on how many there are.
    sums = np.bincount(cell, weights=np.where(there, column, 0.0), minlength=len(starts))
    counts = np.bincount(cell, weights=there, minlength=len(starts))
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.where(counts > 0, sums / counts if rule == "mean" else sums, np.nan)
    result[np.abs(result) > FLOAT32_MAX] = np.nan  # a sum that no model takes is a hole
    return result
