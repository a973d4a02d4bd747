"""Categories that a stream has seen, by number: the first has 0, and keeps it.

In: texts. Out: numbers, which can be put into the order of their texts. Knows no series.
"""

import sys
from collections.abc import Iterable

import numpy as np

from undertow.observations.category_places import Numbers, texts_array
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.windows import Values

_ENTRY_BYTES = 140
"""Of a name beside its text: its number, and its places in a dict and a list of CPython."""


class HeldNames:
    """The names of one column of categories."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Begin with these, in order."""
        self._number_of: dict[str, int] = {}
        self._texts: list[str] = []
        self._order: tuple[Rows, Rows] | None = None
        self.nbytes = 0
        """Bytes of memory that the names take, nearly. For any thread."""
        self._numbers(list(texts))

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> Values:
        """(k,) the names, by number."""
        return texts_array(self._texts)

    def encode(self, places: Numbers, names: Values) -> Numbers:
        """Return (n,) the numbers of names at these places of `names`; NaN stays."""
        numbers = np.array([*self._numbers(names.tolist()), np.nan])
        return numbers[np.where(np.isnan(places), -1.0, places).astype(np.int64)]

    def keep(self, kept: Rows) -> Numbers:
        """Let go of all names but those of these numbers, ascending; return by old number the new one, at last NaN."""
        changed = np.full(len(self) + 1, np.nan)
        changed[kept] = np.arange(len(kept))
        texts = [self._texts[number] for number in kept.tolist()]
        self._number_of, self._texts, self._order, self.nbytes = {}, [], None, 0
        self._numbers(texts)
        return changed

    def in_order(self, numbers: Numbers) -> Numbers:
        """Return the rank of each name in the order of their texts, as it decides between equals; NaN stays."""
        return _mapped(self._ranks()[0], numbers)

    def out_of_order(self, ranks: Numbers) -> Numbers:
        """Return the numbers of names with these ranks."""
        return _mapped(self._ranks()[1], ranks)

    def _numbers(self, texts: list[str]) -> list[int]:
        for text in texts:
            if text not in self._number_of:
                self._number_of[text] = len(self._texts)
                self._texts.append(text)
                self._order = None
                self.nbytes += sys.getsizeof(text) + _ENTRY_BYTES
        return [self._number_of[text] for text in texts]

    def _ranks(self) -> tuple[Rows, Rows]:
        if self._order is None:
            by_rank = np.array(sorted(range(len(self._texts)), key=self._texts.__getitem__), np.int64)
            ranks = np.empty(len(by_rank), np.int64)
            ranks[by_rank] = np.arange(len(by_rank))
            self._order = ranks, by_rank
        return self._order


def _mapped(table: Rows, numbers: Numbers) -> Numbers:
    if not len(table):
        return numbers
    there = ~np.isnan(numbers)
    return np.where(there, table[np.where(there, numbers, 0.0).astype(np.int64)], np.nan)
