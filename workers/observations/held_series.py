"""What a stream holds of each series: its newest event time, its last cells, what it has said of its statics.

In: cells as they are closed. Out: the last `depth` cells of some series. Everything of all series together is a few
numpy arrays, a row each; nothing grows with time. Numbers are float64, as in frames: in float32 a window would differ
from the frame's in bits. The cells, nearly all of it, may lie in a file (`held_rows.py`). Knows neither records nor
windows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undertow.observations.category_places import Numbers
from undertow.observations.cells import Cells
from undertow.observations.closing import NOTHING_SEEN
from undertow.observations.held_rows import MOVED_AT_ONCE, HeldRows
from undertow.observations.series_keys import Keys, KeyTable
from undertow.observations.stated_statics import NEVER, Stated
from undertow.schemas.arrow_columns import Mask, Rows

NO_CELL = np.iinfo(np.int64).min
"""The grid point of the last cell of a series that has none."""
_GROWTH = 1.5
_FEWEST = 64


class HeldSeries:
    """The series that were seen, by place; a place is kept until `keep` gives places anew."""

    def __init__(self, *, depth: int, columns: Sequence[str], statics: int, folder: Path | None = None) -> None:
        """Hold `depth` cells of each series, of these columns, and so many statics that observations state.

        The cells lie in a file below `folder`, if there is one.
        """
        self.depth, self.columns = depth, tuple(columns)
        self._keys = KeyTable()
        self._of: Counter[int] = Counter()
        self.renumbered = 0
        """How often series got other places."""
        self.partition = np.zeros(0, np.int32)
        self.newest_us = np.zeros(0, np.int64)
        self.cells = np.zeros(0, np.int64)
        """How many cells there were in all; the one with number n is at n modulo `depth`."""
        self.said = np.zeros((0, statics))
        self.since = np.zeros((0, statics), np.int64)
        # Of each series the grid points of its cells, then those of each column: what changes together lies together.
        self._rows = HeldRows((1 + len(self.columns)) * depth, folder)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def of_partitions(self) -> Mapping[int, int]:
        """How many series are held of each partition. For any thread."""
        return dict(self._of)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are used, without those of `row_bytes`. For any thread."""
        return self._keys.nbytes + len(self) * sum(int(array[:1].nbytes) for array in self._arrays())

    @property
    def row_bytes(self) -> int:
        """Bytes that the cells take, in memory or in a file. For any thread."""
        return len(self) * self._rows.row_bytes

    @property
    def keys(self) -> Keys:
        """The key of each series."""
        return self._keys.keys

    def find(self, keys: Keys) -> Rows:
        """Return (m,) the places of series, -1 for those that are not held."""
        return self._keys.find(keys)

    def add(self, keys: Keys, partition: Rows) -> Rows:
        """Begin to hold series; return their places. Raises `Refused` where a disk is full, and holds none of them."""
        if (count := len(self._keys) + len(keys)) > len(self.partition):
            self._resize(max(_FEWEST, int(count * _GROWTH)))
        places = self._keys.add(keys)
        self._of.update(partition.tolist())
        self.partition[places], self.newest_us[places], self.cells[places] = partition, NOTHING_SEEN, 0
        self.said[places], self.since[places] = np.nan, NEVER
        return places

    def stated(self, places: Rows) -> Stated:
        """Return what these series have said."""
        return Stated(said=self.said[places], since=self.since[places])

    def state(self, places: Rows, stated: Stated) -> None:
        """Keep what these series have said."""
        self.said[places], self.since[places] = stated.said, stated.since

    def last_index(self, places: Rows) -> Rows:
        """Return (m,) the grid point of each series' last cell, or `NO_CELL`."""
        cells = self.cells[places]
        return np.where(cells > 0, self._rows.integers[self._at(places, (cells - 1) % self.depth)], NO_CELL)

    def held_cells(self, places: Rows) -> tuple[Rows, Cells]:
        """Return the cells that are held of these series, in order, with (m,) how many of each.

        Their series are numbers: the rows of `places`.
        """
        counts = np.minimum(self.cells[places], self.depth)
        number, rank = spread(counts)
        slot = ((self.cells[places] - counts) % self.depth)[number] + rank
        at = self._at(number, np.where(slot >= self.depth, slot - self.depth, slot))
        numbers = self._rows.copy(places)
        values = {name: numbers[at + self._column(name)] for name in self.columns}
        return counts, Cells(series=number, index=numbers.view(np.int64)[at], values=values)

    def append(self, places: Rows, counts: Rows, index: Rows, values: Mapping[str, Numbers]) -> None:
        """Add cells: `counts` (m,) of each series, all of a series together and in order."""
        if (counts == 1).all():
            at = self._at(places, self.cells[places] % self.depth)
            self._write(at, index, values)
            self.cells[places] += 1
            return
        number, rank = spread(counts)
        ordinal = self.cells[places][number] + rank
        kept = np.flatnonzero(rank >= counts[number] - self.depth)
        at = self._at(places[number[kept]], ordinal[kept] % self.depth)
        self._write(at, index[kept], {name: column[kept] for name, column in values.items()})
        self.cells[places] += counts

    def _write(self, at: Rows, index: Rows, values: Mapping[str, Numbers]) -> None:
        self._rows.integers[at] = index
        for name, column in values.items():
            self._rows.numbers[at + self._column(name)] = column

    def change(self, column: str, act: Callable[[Numbers], Numbers | None]) -> None:
        """Replace the cells' numbers of a column by what is returned for them, unless that is None."""
        rows = self._rows.numbers.reshape(-1, (1 + len(self.columns)) * self.depth)
        of_column = slice(self._column(column), self._column(column) + self.depth)
        for first in range(0, len(self), MOVED_AT_ONCE):
            some = slice(first, min(first + MOVED_AT_ONCE, len(self)))
            there = np.arange(self.depth) < self.cells[some, None]  # the first cell is at 0
            numbers = rows[some, of_column]
            if (changed := act(numbers[there])) is not None:
                numbers[there] = changed

    def change_said(self, static: int, act: Callable[[Numbers], Numbers | None]) -> None:
        """Do the same for one of the statics."""
        if (changed := act(self.said[: len(self), static])) is not None:
            self.said[: len(self), static] = changed

    def keep(self, kept: Mask) -> Rows:
        """Let go of all others; return by old place the new one, -1 for those that are gone."""
        places = np.flatnonzero(kept)
        moved = np.where(kept, np.cumsum(kept) - 1, -1)
        self.renumbered += 1
        self._keys = KeyTable(self._keys.keys[places])
        self._of = Counter(self.partition[places].tolist())
        self._rows.keep(places)
        self._replace([array[places] for array in self._arrays()])
        # Never more rows than before: letting go must work where a disk is full.
        self._resize(min(len(self._rows), max(_FEWEST, int(len(places) * _GROWTH))))
        return moved

    def _at(self, places: Rows, slots: Rows) -> Rows:
        """Return where the grid points of cells are."""
        return places * ((1 + len(self.columns)) * self.depth) + slots

    def _column(self, name: str) -> int:
        return (1 + self.columns.index(name)) * self.depth

    def _arrays(self) -> list[NDArray[np.generic]]:
        return [self.partition, self.newest_us, self.cells, self.said, self.since]

    def _replace(self, arrays: list[NDArray[np.generic]]) -> None:
        self.partition, self.newest_us, self.cells, self.said, self.since = arrays  # type: ignore[assignment]

    def _resize(self, size: int) -> None:
        self._rows.resize(size)
        resized = []
        for array in self._arrays():
            other = np.empty((size, *array.shape[1:]), array.dtype)
            other[: len(array)] = array
            resized.append(other)
        self._replace(resized)


def spread(counts: Rows) -> tuple[Rows, Rows]:
    """Return, for `counts[i]` things of each i in turn, the i and the rank within it."""
    number = np.repeat(np.arange(len(counts)), counts)
    return number, np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)


def join_cells(
    series: Rows, counts_held: Rows, held: Cells, counts_new: Rows, cells: Cells, by: Rows, taken: Mask
) -> tuple[Cells, Rows]:
    """Return cells that are held and those of `cells` that are `taken` behind them, and (c,) their records, or -1."""
    counts = counts_held + counts_new
    begins = np.cumsum(counts) - counts
    number, rank = spread(counts_held)
    at_held = begins[number] + rank
    number, rank = spread(counts_new)
    at_new = (begins + counts_held)[number] + rank

    def together(one: NDArray[np.generic], other: NDArray[np.generic]) -> NDArray[np.generic]:
        both = np.empty(int(counts.sum()), one.dtype)
        both[at_held], both[at_new] = one, other
        return both

    values = {name: together(column, cells.values[name][taken]) for name, column in held.values.items()}
    index: Rows = together(held.index, cells.index[taken]).astype(np.int64)
    record: Rows = together(np.full(len(held.index), -1), by[taken]).astype(np.int64)
    joined = Cells(
        series=np.repeat(series, counts),
        index=index,
        values={name: column.astype(np.float64) for name, column in values.items()},
    )
    return joined, record
