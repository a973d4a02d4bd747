"""What is known beside the observations: covariates known ahead, and statics.

In: `Observations` of a table of what is known, or a table with a row for each series. Out: lookups by series and grid
point. Knows no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.observations.category_places import Numbers
from undertow.observations.cells import Cells, combine_cells
from undertow.observations.read import Observations
from undertow.observations.series_numbers import match_series
from undertow.observations.table_columns import id_column, value_column
from undertow.schemas.arrow_columns import Mask, Rows, read_elements, read_ids
from undertow.schemas.contract import Column, InputContract
from undertow.schemas.windows import Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownAhead:
    """What is known of each series, or of all, at each grid point."""

    cells: Cells
    names: Mapping[str, Values]
    """The texts of categories, by column."""
    ids: Mapping[str, Values]
    """By id column that it has, the ids of its series."""
    reach: Rows
    """(c,) how many steps from this cell on follow each other without a gap, with all that is known ahead."""
    place_of: Rows
    """By number of an observed series, its number in the cells; -1 if nothing is known of it."""
    grid_points: Rows
    """The distinct grid points, ascending."""
    keys: Rows
    """(c,) series and grid point as one number, ascending."""

    def find(self, series: Rows, index: Rows) -> tuple[Rows, Mask]:
        """Return (n,) the cell of an observed series at a grid point, and (n,) whether there is one."""
        mine = self.place_of[series]
        if not len(self.keys):
            return np.zeros(len(series), np.int64), np.zeros(len(series), np.bool_)
        rank = np.minimum(np.searchsorted(self.grid_points, index), len(self.grid_points) - 1)
        wanted = mine * len(self.grid_points) + rank
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return place, (mine >= 0) & (self.grid_points[rank] == index) & (self.keys[place] == wanted)

    def past(self, column: str, series: Rows, index: Rows) -> Numbers:
        """Return (n,) a column's values there; NaN where nothing is known."""
        place, there = self.find(series, index)
        return (
            np.where(there, self.cells.values[column][place], np.nan) if len(self.keys) else np.full(len(place), np.nan)
        )

    def next_steps(self, series: Rows, last: Rows, horizon: int) -> tuple[NDArray[np.int64], Mask]:
        """Return (n, horizon) the cells after `last`, and (n,) whether all of them are known."""
        place, there = self.find(series, last + 1)
        if not len(self.keys):
            return np.zeros((len(place), horizon), np.int64), there
        there &= self.reach[place] >= horizon
        return np.where(there, place, 0)[:, None] + np.arange(horizon) * there[:, None], there


def known_ahead(seen: Observations, columns: Sequence[str], ids: Mapping[str, Values]) -> KnownAhead:
    """Make what is known findable by the numbers of the observed series, whose ids are given."""
    cells = combine_cells(seen, dict.fromkeys(columns, "last"))
    whole = np.ones(len(cells.index), np.bool_)
    for column in columns:
        whole &= ~np.isnan(cells.values[column])
    follows = np.zeros(len(whole), np.bool_)  # whether the next cell is the next step
    follows[:-1] = (np.diff(cells.series) == 0) & (np.diff(cells.index) == 1) & whole[1:]
    ends = np.where(follows, len(whole), np.arange(len(whole)))
    reach = np.minimum.accumulate(ends[::-1])[::-1] - np.arange(len(whole)) + 1
    points, ranks = _distinct(cells.index)
    return KnownAhead(
        cells=cells,
        names=seen.names,
        ids=seen.ids,
        reach=np.where(whole, reach, 0),
        place_of=match_series(ids, seen.ids),
        grid_points=points,
        keys=cells.series * len(points) + ranks,
    )


def _distinct(index: Rows) -> tuple[Rows, Rows]:
    """Return the distinct grid points, ascending, and (c,) the place of each cell's among them."""
    first = int(index.min()) if len(index) else 0
    span = int(index.max()) - first + 1 if len(index) else 0
    if span > 4 * len(index):
        points, ranks = np.unique(index, return_inverse=True)
        return points, ranks
    is_there = np.zeros(span, np.bool_)  # nearly all are, and counting them takes a tenth of sorting
    is_there[index - first] = True
    return np.flatnonzero(is_there) + first, (np.cumsum(is_there) - 1)[index - first]


class StaticTable:
    """A table with a row for each series: its ids, and static columns."""

    def __init__(self, table: pa.Table, contract: InputContract, columns: Sequence[Column]) -> None:
        """Read it. Raises `Refused` if it lacks an id, or says two things of one series."""
        keys: dict[str, Values] = {}
        named = np.ones(table.num_rows, np.bool_)
        for one in contract.series:
            keys[one.name], valid = read_ids(id_column(table, one), one)
            named &= valid
        rows = np.flatnonzero(named)
        self._row_of = {key: row for row, key in zip(rows.tolist(), _keys(keys, rows), strict=True)}
        if len(self._row_of) < len(rows):
            seen: set[tuple[object, ...]] = set()
            twice = next(key for key in _keys(keys, rows) if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            named_twice = ", ".join(map(str, twice))
            message = f"expected one row for each series, found {named_twice} twice"
            raise Refused(message)
        self._columns = {column: read_elements(value_column(table, column), column) for column in columns}

    def of(self, ids: Mapping[str, Values]) -> tuple[dict[str, Values], Mask]:
        """Return by column (m,) the statics of each series, and (m,) of which series they are known."""
        everyone = np.arange(len(next(iter(ids.values()))))
        place = np.array([self._row_of.get(key, -1) for key in _keys(ids, everyone)], np.int64)
        there = place >= 0
        statics: dict[str, Values] = {}
        for column, (values, valid) in self._columns.items():
            if not len(values):
                statics[column.name] = np.full(len(place), np.nan if column.is_real else None)
                continue
            statics[column.name] = values[place]
            there &= valid[place]
        return statics, there


def _keys(ids: Mapping[str, Values], rows: Rows) -> list[tuple[object, ...]]:
    return list(zip(*(column[rows].tolist() for column in ids.values()), strict=True))
