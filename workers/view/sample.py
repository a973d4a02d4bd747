"""An even sample of keys that come in any order and any number of times, in memory for the sample alone.

In: batches of rows with keys. Out: the newest row of each sampled key, in an order that says nothing of time or place.
Knows neither files nor vectors.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hash_keys(columns: pd.DataFrame) -> Hashes:
    """Return one number for each row, the same for the same values in whatever file, batch or run they stand."""
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
        self._created = np.empty(0, np.int64)
        self.is_sampled = False
        """Whether there were more keys than were kept."""

    def add(self, rows: pa.Table, hashes: Hashes, created: NDArray[np.int64]) -> None:
        """Consider rows. Of one key the newest `created` stays; of equal ones the one that came last."""
        chosen = np.flatnonzero(hashes <= self._limit)
        if not len(chosen):
            return
        taken = rows.take(chosen)
        pool = taken if self._rows is None else pa.concat_tables([self._rows, taken])
        hashes = np.concatenate([self._hashes, hashes[chosen]])
        created = np.concatenate([self._created, created[chosen]])
        order = np.lexsort((created, hashes))  # stable: equal ones keep the order in which they came
        is_last = np.append(hashes[order][1:] != hashes[order][:-1], True)
        order = order[is_last]
        if len(order) > self._size:
            self.is_sampled = True
            order = order[: self._size]
            self._limit = hashes[order[-1]]
        self._rows = pool.take(order).combine_chunks()
        self._hashes, self._created = hashes[order], created[order]

    def rows(self) -> Any:
        """Return the sample as an Arrow table in the order of the hashes; None where no row was added."""
        return self._rows
