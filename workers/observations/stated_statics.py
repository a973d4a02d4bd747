"""Statics that each observation states.

In: `Observations` whose values include static columns. Out: what is so of each series, and the observations that agree.
Observations are heard in order of time, those of one time in order of what they say; one that contradicts what was
accepted before it is none, and what it says counts for nothing. A null says nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.observations.category_places import Numbers, category_texts
from undertow.observations.faults import BadRows
from undertow.observations.read import Observations
from undertow.schemas.arrow_columns import Mask
from undertow.schemas.contract import Column
from undertow.schemas.windows import Values

_EXPECTED = "what earlier observations of the series say"


def settle_statics(seen: Observations, columns: Sequence[Column]) -> tuple[Observations, dict[str, Values], Mask]:
    """Return the observations that agree, by column (m,) the statics, and (m,) of which series they are known."""
    count = len(next(iter(seen.ids.values())))
    known = np.ones(count, np.bool_)
    if not columns:
        return seen, {}, known
    said = np.stack([seen.values[column.name] for column in columns], axis=1)  # (n, columns)
    stated, contradicts = _hear(seen, said, count)
    statics: dict[str, Values] = {}
    for place, column in enumerate(columns):
        numbers = stated[:, place]
        statics[column.name] = numbers if column.is_real else category_texts(seen.names[column.name], numbers)
        if not column.accepts_unknown:
            known &= ~np.isnan(numbers)
    if not (contradicts >= 0).any():
        return seen, statics, known
    bad = [
        BadRows(reason="static", column=column.name, expected=_EXPECTED, rows=seen.rows[contradicts == place])
        for place, column in enumerate(columns)
    ]
    return seen.take(contradicts < 0, bad), statics, known


def _hear(seen: Observations, said: Numbers, count: int) -> tuple[Numbers, NDArray[np.int64]]:
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
    stated = np.full((count, said.shape[1]), np.nan)
    contradicted = np.full(len(rows), -1)
    alone = np.bincount(series, minlength=count)[series] == 1
    stated[series[alone]] = texts[alone]
    several = np.flatnonzero(~alone)  # few: kinds of what is said, of series of which several things are
    order = np.lexsort((*texts[several].T[::-1], first_us[several], series[several]))  # NaN is the last
    for kind in several[order].tolist():
        so, new = stated[series[kind]], texts[kind]
        differs = ~np.isnan(so) & ~np.isnan(new) & (so != new)
        if differs.any():
            contradicted[kind] = int(np.argmax(differs))
        else:
            stated[series[kind]] = np.where(np.isnan(new), so, new)
    return stated, contradicted[kinds]
