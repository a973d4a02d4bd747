"""Observations whose cells are not closed yet, of all series together, each series' found without looking at others.

In: observations as they come. Out: those whose cells are closed now. Content decides what becomes of them, so their
order is of no account: rows of a series are chained, the last one first, and places of rows that leave are given again.
Knows no windows.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.observations.category_places import Numbers
from undertow.schemas.arrow_columns import Rows

FIXED: Mapping[str, type] = {
    "place": np.int64,  # of its series
    "due_us": np.int64,  # from which newest event time on its cell is closed
    "time_us": np.int64,
    "created": np.float64,  # of WindowSpec.created, see created_order
    "created_rest": np.float64,
    "offset": np.int64,  # of its record
    "appended_us": np.int64,  # of its record
}
Columns = dict[str, NDArray[Any]]
"""Rows, by column."""
_VALUE = "value:"
_NONE = -1
_FEWEST = 256
_LONG_CHAIN = 64
"""Rows of one series that are found one after another; of more, all rows are looked through at once. A choice."""


class OpenRows:
    """A table that grows and shrinks. Its columns are those of `FIXED`, and `value:NAME` for each column."""

    def __init__(self, columns: Iterable[str]) -> None:
        """Begin empty."""
        kinds = {**FIXED, **{value_name(name): np.float64 for name in columns}}
        self.names = tuple(kinds)
        self._columns: Columns = {name: np.zeros(0, kind) for name, kind in kinds.items()}
        self._next: Rows = np.zeros(0, np.int64)  # by row, the next one of its series
        self._first: Rows = np.zeros(0, np.int64)  # by place of a series, its first row
        self._free: Rows = np.zeros(0, np.int64)  # rows that hold nothing: the last `_free_count`, a stack
        self._free_count = 0

    def __len__(self) -> int:
        return len(self._next) - self._free_count

    @property
    def series(self) -> int:
        """How many series have rows. For any thread."""
        return int(np.count_nonzero(self._first >= 0))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are used."""
        row = self._next.itemsize + sum(array.itemsize for array in self._columns.values())
        return row * len(self) + self._first.nbytes

    def add(self, rows: Columns) -> None:
        """Add rows."""
        count = len(rows["place"])
        if not count:
            return
        if count > self._free_count:
            self._grow(max(_FEWEST, 2 * (len(self) + count)))
        at = self._free[self._free_count - count : self._free_count].copy()
        self._free_count -= count
        for name, array in self._columns.items():
            array[at] = rows[name]
        self._chain(at)

    def take_closed(self, places: Rows, newest_us: Rows) -> Columns:
        """Take out the rows of these series whose cells are closed, by (series,) the newest event time of each place.

        Whoever calls it names every series whose newest event time has moved.
        """
        rows = self._of(places) if len(self) else self._free[:0]
        if not len(rows):
            return self._at(rows)
        mine = self._columns["place"][rows]
        is_closed = self._columns["due_us"][rows] <= newest_us[mine]
        closed = rows[is_closed]
        taken = self._at(closed)
        if len(closed):
            touched = np.unique(mine[is_closed])
            stay = rows[~is_closed]
            stay = stay[np.isin(self._columns["place"][stay], touched)]
            self._first[touched] = _NONE
            self._chain(stay)
            self._free[self._free_count : self._free_count + len(closed)] = closed
            self._free_count += len(closed)
        return taken

    def of(self, places: Rows) -> Columns:
        """Return a copy of the rows of these series."""
        return self._at(self._of(places))

    def keep(self, moved: Rows) -> None:
        """Follow series to new places, by old place; let go of rows whose series are gone (-1)."""
        rows = self.of(np.flatnonzero(moved >= 0))
        rows["place"] = moved[rows["place"].astype(np.int64)]
        self._first = np.full(int(np.count_nonzero(moved >= 0)), _NONE)
        self._columns = {name: column[:0] for name, column in self._columns.items()}
        self._next, self._free, self._free_count = self._next[:0], self._free[:0], 0
        self.add(rows)

    def change(self, column: str, act: Callable[[Numbers], Numbers | None]) -> None:
        """Replace the numbers of a column by what is returned for them, unless that is None."""
        used = self._used()
        if (changed := act(self._columns[column][used])) is not None:
            self._columns[column][used] = changed

    def _used(self) -> Rows:
        is_used = np.ones(len(self._next), np.bool_)
        is_used[self._free[: self._free_count]] = False
        return np.flatnonzero(is_used)

    def _at(self, rows: Rows) -> Columns:
        return {name: column[rows] for name, column in self._columns.items()}

    def _of(self, places: Rows) -> Rows:
        """Return the rows of these series, which differ."""
        at = self._first[places[places < len(self._first)]]
        found = [at := at[at >= 0]]
        while len(at) and len(found) < _LONG_CHAIN:
            at = self._next[at]
            found.append(at := at[at >= 0])
        if not len(at):
            return np.concatenate(found)
        place = self._columns["place"].astype(np.int64)
        is_long = np.zeros(len(self._first), np.bool_)
        is_long[place[at]] = True
        of_short = np.concatenate(found)
        of_short = of_short[~is_long[place[of_short]]]
        used = self._used()
        return np.concatenate([of_short, used[is_long[place[used]]]])

    def _chain(self, rows: Rows) -> None:
        """Put rows before those that their series have."""
        place = self._columns["place"][rows].astype(np.int64)
        if (most := int(place.max(initial=_NONE)) + 1) > len(self._first):
            more = np.full(2 * most - len(self._first), _NONE)
            self._first = np.concatenate([self._first, more])
        order = np.argsort(place, kind="stable")
        rows, place = rows[order], place[order]
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = place[1:] != place[:-1]
        self._next[rows[1:]] = rows[:-1]
        self._next[rows[begins]] = self._first[place[begins]]
        ends = np.roll(begins, -1)
        self._first[place[ends]] = rows[ends]

    def _grow(self, size: int) -> None:
        before = len(self._next)
        for name, array in self._columns.items():
            self._columns[name] = np.concatenate([array, np.empty(size - before, array.dtype)])
        self._next = np.concatenate([self._next, np.full(size - before, _NONE)])
        free = np.empty(size, np.int64)
        free[: self._free_count] = self._free[: self._free_count]
        free[self._free_count : self._free_count + size - before] = np.arange(size - 1, before - 1, -1)
        self._free, self._free_count = free, self._free_count + size - before


def value_name(column: str) -> str:
    """Return the name of the column with its values."""
    return f"{_VALUE}{column}"
