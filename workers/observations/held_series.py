"""What a stream holds of each series: its newest event time, its last cells, what it has said of its statics.

In: cells as they are closed. Out: the last `depth` cells of some series. Everything of all series together is a few
numpy arrays, a row each; nothing grows with time. Numbers are float64, as in frames: in float32 a window would differ
from the frame's in bits. Knows neither records nor windows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.observations.category_places import Numbers
from undertow.observations.cells import Cells
from undertow.observations.closing import NOTHING_SEEN
from undertow.observations.series_keys import Keys, KeyTable
from undertow.observations.stated_statics import NEVER, Stated
from undertow.schemas.arrow_columns import Mask, Rows

NO_CELL = np.iinfo(np.int64).min
"""The grid point of the last cell of a series that has none."""
_GROWTH = 1.5
_FEWEST = 64


class HeldSeries:
    """The series that were seen, by place; a place is kept until `keep` gives places anew."""

    def __init__(self, *, depth: int, columns: Sequence[str], statics: int) -> None:
        """Hold `depth` cells of each series, of these columns, and so many statics that observations state."""
        self.depth, self.columns = depth, tuple(columns)
        self._keys = KeyTable()
        self._of: Counter[int] = Counter()
        self.partition = np.zeros(0, np.int64)
        self.newest_us = np.zeros(0, np.int64)
        self.cells = np.zeros(0, np.int64)
        """How many cells there were in all; the one with number n is at n modulo `depth`."""
        self.index = np.zeros((0, depth), np.int64)
        self.values = {name: np.zeros((0, depth)) for name in self.columns}
        self.said = np.zeros((0, statics))
        self.since = np.zeros((0, statics), np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def of_partitions(self) -> Mapping[int, int]:
        """How many series are held of each partition. For any thread."""
        return dict(self._of)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are used."""
        one = sum(int(array[:1].nbytes) for array in self._arrays())
        spare = len(self.partition) - len(self)
        return self._keys.nbytes + sum(array.nbytes for array in self._arrays()) - (spare * one if spare else 0)

    @property
    def keys(self) -> Keys:
        """The key of each series."""
        return self._keys.keys

    def find(self, keys: Keys) -> Rows:
        """Return (m,) the places of series, -1 for those that are not held."""
        return self._keys.find(keys)

    def add(self, keys: Keys, partition: Rows) -> Rows:
        """Begin to hold series; return their places."""
        places = self._keys.add(keys)
        self._of.update(partition.tolist())
        if len(self._keys) > len(self.partition):
            self._grow(max(_FEWEST, int(len(self._keys) * _GROWTH)))
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
        return np.where(cells > 0, self.index[places, (cells - 1) % self.depth], NO_CELL)

    def held_cells(self, places: Rows) -> tuple[Rows, Cells]:
        """Return the cells that are held of these series, in order, with (m,) how many of each.

        Their series are numbers: the rows of `places`.
        """
        counts = np.minimum(self.cells[places], self.depth)
        number, rank = spread(counts)
        at = places[number] * self.depth + (self.cells[places] - counts)[number] % self.depth
        at += rank - np.where((self.cells[places] - counts)[number] % self.depth + rank >= self.depth, self.depth, 0)
        values = {name: column.reshape(-1)[at] for name, column in self.values.items()}
        return counts, Cells(series=number, index=self.index.reshape(-1)[at], values=values)

    def append(self, places: Rows, counts: Rows, index: Rows, values: dict[str, Numbers]) -> None:
        """Add cells: `counts` (m,) of each series, all of a series together and in order."""
        number, rank = spread(counts)
        ordinal = self.cells[places][number] + rank
        kept = np.flatnonzero(rank >= counts[number] - self.depth)
        at = places[number[kept]] * self.depth + ordinal[kept] % self.depth
        self.index.reshape(-1)[at] = index[kept]
        for name, column in values.items():
            self.values[name].reshape(-1)[at] = column[kept]
        self.cells[places] += counts

    def keep(self, kept: Mask) -> Rows:
        """Let go of all others; return by old place the new one, -1 for those that are gone."""
        count = len(self)
        moved = np.where(kept, np.cumsum(kept) - 1, -1)
        self._keys = KeyTable(self._keys.keys[kept])
        self._replace([array[:count][kept] for array in self._arrays()])
        self._of = Counter(self.partition.tolist())
        return moved

    def _arrays(self) -> list[NDArray[np.generic]]:
        return [
            self.partition,
            self.newest_us,
            self.cells,
            self.index,
            self.said,
            self.since,
            *self.values.values(),
        ]

    def _replace(self, arrays: list[NDArray[np.generic]]) -> None:
        self.partition, self.newest_us, self.cells, self.index, self.said, self.since, *values = arrays  # type: ignore[assignment]
        self.values = dict(zip(self.columns, values, strict=True))  # type: ignore[arg-type]

    def _grow(self, size: int) -> None:
        grown = []
        for array in self._arrays():
            larger = np.empty((size, *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            grown.append(larger)
        self._replace(grown)


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
