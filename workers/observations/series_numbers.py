"""Number series by their ids.

In: id columns. Out: the number of each row's series, and the ids of each number. Numbers follow the order of the ids,
so they depend on the set of series alone. Knows no times.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from undertow.observations.category_places import texts_array
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.windows import Values


def number_series(ids: Mapping[str, Any]) -> tuple[Rows, dict[str, Values]]:
    """Return (n,) the number of each row's series, and by column (m,) the ids of the series, in order of the ids.

    The columns are Arrow's strings and int64, without a null.
    """
    numbers = np.zeros(0, np.int64)
    places: dict[str, Rows] = {}
    distinct: dict[str, Values] = {}
    for name, column in ids.items():
        codes, distinct[name] = _ranks(column)
        if not places:
            numbers, places[name] = codes, np.arange(len(distinct[name]))
            continue
        if len(distinct[name]) == 1:  # such as the one partition of a poll
            places[name] = np.zeros(len(next(iter(places.values()))), np.int64)
            continue
        pairs, numbers = np.unique(numbers * max(1, len(distinct[name])) + codes, return_inverse=True)
        earlier, mine = np.divmod(pairs, max(1, len(distinct[name])))
        places = {other: place[earlier] for other, place in places.items()} | {name: mine}
    return numbers, {name: distinct[name][place] for name, place in places.items()}


def match_series(ids: Mapping[str, Values], among: Mapping[str, Values]) -> Rows:
    """Return (m,) for each series of `ids` its place in `among`, by the ids that `among` has; -1 if it is not there."""
    if not among:
        return np.zeros(len(next(iter(ids.values()))), np.int64)
    known = {key: place for place, key in enumerate(zip(*(column.tolist() for column in among.values()), strict=True))}
    wanted = zip(*(ids[name].tolist() for name in among), strict=True)
    return np.array([known.get(key, -1) for key in wanted], np.int64)


def _ranks(column: Any) -> tuple[Rows, Values]:
    """Return (n,) the rank of each id among the distinct ones, and these in order: texts by code points."""
    encoded = column.dictionary_encode()
    distinct: Values = encoded.dictionary.to_numpy(zero_copy_only=False)
    codes: Rows = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    found = distinct.tolist()
    in_order = sorted(found)
    if in_order == found:
        return codes, distinct
    rank_of = dict(zip(in_order, range(len(found)), strict=True))
    ranks = np.array([rank_of[one] for one in found], np.int64)
    return ranks[codes], texts_array(in_order) if distinct.dtype == object else np.array(in_order, np.int64)
