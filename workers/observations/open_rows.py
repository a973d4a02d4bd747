"""Observations whose cells are not closed yet, of all series together, in no order.

In: observations as they come. Out: those whose cells are closed now. Content decides what becomes of them, so their
order is of no account, and those that leave are replaced by the last ones. Knows no windows.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.arrow_columns import Mask, Rows

FIXED: Mapping[str, type] = {
    "place": np.int64,  # of its series
    "due_us": np.int64,  # from which newest event time on its cell is closed
    "time_us": np.int64,
    "created": np.float64,  # of WindowSpec.created; -inf for none
    "offset": np.int64,  # of its record
    "appended_us": np.int64,  # of its record
}
_VALUE = "value:"


class OpenRows:
    """A table that grows and shrinks. Its columns are those of `FIXED`, and `value:NAME` for each column."""

    def __init__(self, columns: Iterable[str]) -> None:
        """Begin empty."""
        kinds = {**FIXED, **{value_name(name): np.float64 for name in columns}}
        self._columns: dict[str, NDArray[np.generic]] = {name: np.zeros(0, kind) for name, kind in kinds.items()}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Return a column."""
        return self._columns[name][: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are used."""
        return sum(array.itemsize * self._count for array in self._columns.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    def add(self, rows: Mapping[str, NDArray[np.generic]]) -> None:
        """Add rows."""
        before, more = self._count, len(rows["place"])
        if before + more > len(self._columns["place"]):
            size = max(256, 2 * (before + more))
            for name, array in self._columns.items():
                self._columns[name] = np.concatenate([array[:before], np.empty(size - before, array.dtype)])
        for name, array in self._columns.items():
            array[before : before + more] = rows[name]
        self._count += more

    def take_closed(self, newest_us: Rows) -> dict[str, NDArray[np.generic]]:
        """Take out the rows whose cells are closed, by (series,) the newest event time of each place."""
        closed = np.flatnonzero(self["due_us"] <= newest_us[self["place"]])
        taken = {name: self[name][closed] for name in self.names}
        left = self._count - len(closed)
        # The rows behind the new end that stay fill the holes before it.
        stay = np.ones(self._count - left, np.bool_)
        stay[closed[closed >= left] - left] = False
        sources, holes = np.flatnonzero(stay) + left, closed[closed < left]
        for array in self._columns.values():
            array[holes] = array[sources]
        self._count = left
        return taken

    def of(self, kept: Mask) -> dict[str, NDArray[np.generic]]:
        """Return a copy of some rows."""
        return {name: self[name][kept] for name in self.names}

    def keep(self, moved: Rows) -> None:
        """Follow series to new places, by old place; let go of rows whose series are gone (-1)."""
        place = moved[self["place"]]
        kept = place >= 0
        rows = self.of(kept)
        rows["place"] = place[kept]
        self._count = 0
        self.add(rows)


def value_name(column: str) -> str:
    """Return the name of the column with its values."""
    return f"{_VALUE}{column}"
