"""Statics that each observation states.

In: `Observations` whose values include static columns. Out: what is so of each series and since when, and the
observations that agree. Observations are heard in order of time, those of one time in order of what they say; one that
contradicts what was accepted before it is none, and what it says counts for nothing. A null says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.observations.category_places import Numbers, category_texts
from undertow.observations.faults import BadRows
from undertow.observations.read import Observations
from undertow.schemas.arrow_columns import Mask, Rows
from undertow.schemas.contract import Column
from undertow.schemas.windows import Values

_EXPECTED = "what earlier observations of the series say"
NEVER = np.iinfo(np.int64).max
"""The grid point since which something is so that nobody has said yet."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stated:
    """What observations have said of m series."""

    said: Numbers
    """(m, columns) numbers, or places of categories; NaN where nobody has said it."""
    since: Rows
    """(m, columns) the grid point of the first observation that says so, or `NEVER`."""

    def texts(self, columns: Sequence[Column], names: Mapping[str, Values]) -> dict[str, Values]:
        """Return by column (m,) what is said, as windows have it."""
        numbers = {column: self.said[:, place] for place, column in enumerate(columns)}
        return {
            column.name: said if column.is_real else category_texts(names[column.name], said)
            for column, said in numbers.items()
        }


def nothing_stated(series: int, columns: int) -> Stated:
    """Return what is so of series before anybody has said anything."""
    return Stated(said=np.full((series, columns), np.nan), since=np.full((series, columns), NEVER))


def settle_statics(
    seen: Observations, columns: Sequence[Column], before: Stated | None = None
) -> tuple[Observations, Stated]:
    """Return the observations that agree, and what is so of each series: of `before`, and of what they say.

    Observations that were heard before must be earlier than these, each series' for itself.
    """
    before = before or nothing_stated(len(next(iter(seen.ids.values()))), len(columns))
    if not columns:
        return seen, before
    said = np.stack([seen.values[column.name] for column in columns], axis=1)  # (n, columns)
    so, contradicts = _hear(seen, said, before.said)
    since, agrees = before.since.copy(), contradicts < 0
    for place in range(len(columns)):
        states = agrees & ~np.isnan(said[:, place])
        np.minimum.at(since[:, place], seen.series[states], seen.index[states])
    stated = Stated(said=so, since=since)
    if agrees.all():
        return seen, stated
    bad = [
        BadRows(reason="static", column=column.name, expected=_EXPECTED, rows=seen.rows[contradicts == place])
        for place, column in enumerate(columns)
    ]
    return seen.take(agrees, bad), stated


def _differs(said: Numbers, so: Numbers) -> Mask:
    """Return (n, columns) where something else is said than what is so."""
    against: Mask = ~np.isnan(so) & ~np.isnan(said) & (so != said)
    return against


def _hear(seen: Observations, said: Numbers, before: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Return (m, columns) what is so, NaN if nobody says it, and (n,) the column that each row contradicts, or -1.

    Rows of a series that say the same are accepted or not together, as the first of them is: what is known only grows.
    """
    kinds = seen.series
    for column in said.T:
        _, codes = np.unique(column, return_inverse=True)
        _, kinds = np.unique(kinds * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, rows = np.unique(kinds, return_index=True)  # one for each kind
    first_us = np.full(len(rows), np.iinfo(np.int64).max)
    np.minimum.at(first_us, kinds, seen.time_us)
    series, texts = seen.series[rows], said[rows]
    stated = before.copy()
    contradicted = np.full(len(rows), -1)
    alone = np.bincount(series, minlength=len(before))[series] == 1
    against = _differs(texts, stated[series]) & alone[:, None]
    contradicted[against.any(axis=1)] = np.argmax(against, axis=1)[against.any(axis=1)]
    heard = np.flatnonzero(alone & (contradicted < 0))
    stated[series[heard]] = np.where(np.isnan(texts[heard]), stated[series[heard]], texts[heard])
    several = np.flatnonzero(~alone)  # few: kinds of what is said, of series of which several things are
    order = np.lexsort((*texts[several].T[::-1], first_us[several], series[several]))  # NaN is the last
    for kind in several[order].tolist():
        so, new = stated[series[kind]], texts[kind]
        if (against_one := _differs(new, so)).any():
            contradicted[kind] = int(np.argmax(against_one))
        else:
            stated[series[kind]] = np.where(np.isnan(new), so, new)
    return stated, contradicted[kinds]
