"""Sample keys evenly from rows in any order, in memory for the sample only.

In: batches of rows with keys. Out: the newest row of each sampled key, in random order. Knows neither files nor
vectors.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hash_keys(columns: pd.DataFrame) -> Hashes:
    """Return a hash for each row, equal for equal values in any file, batch or run."""
    return pd.util.hash_pandas_object(columns, index=False).to_numpy().astype(np.uint64)


class Sampler:
    """Keeps the `size` keys with the smallest hashes: each key is as likely as any other, however often it comes.

    pandas' hash has a fixed key, which is the seed, and is even over all of its 64 bits.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._limit = np.uint64(np.iinfo(np.uint64).max)
        self._rows: Any = None
        self._hashes = np.empty(0, np.uint64)
        self._order = np.empty((0, 0), np.int64)
        self.is_sampled = False
        """Whether there were more keys than were kept."""

    def choose(self, hashes: Hashes) -> NDArray[np.intp]:
        """Return which rows, (n,), may be of the sample as far as is known: soon very few."""
        return np.flatnonzero(hashes <= self._limit)

    def add(self, rows: pa.Table, hashes: Hashes, order: NDArray[np.int64]) -> None:
        """Consider chosen rows. Of one key that with the greatest `order` stays, (n, k); of equal ones the last."""
        if not len(rows):
            return
        pool = rows if self._rows is None else pa.concat_tables([self._rows, rows])
        hashes = np.concatenate([self._hashes, hashes])
        order = np.concatenate([self._order.reshape(-1, order.shape[1]), order])
        kept = np.lexsort((*order.T[::-1], hashes))  # stable: equal ones keep the order in which they came
        is_last = np.append(hashes[kept][1:] != hashes[kept][:-1], True)
        kept = kept[is_last]
        if len(kept) > self._size:
            self.is_sampled = True
            kept = kept[: self._size]
            self._limit = hashes[kept[-1]]
        self._rows = pool.take(kept).combine_chunks()
        self._hashes, self._order = hashes[kept], order[kept]

    def rows(self) -> Any:
        """Return the sample as an Arrow table in the order of the hashes; None where no row was added."""
        return self._rows
