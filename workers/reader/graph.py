"""The nearest of millions of vectors, nearly: by a graph of near ones (HNSW), which usearch makes.

In: vectors. Out: places. Knows neither series nor a store. usearch is imported when a graph is made.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 1_000
"""How many may be asked for: for more, a graph is walked through for longer than all vectors are compared. A choice."""
AT_ONCE = 50_000
"""Vectors that are added before it is looked whether to end: a second or two. A choice."""
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 64, 256
"""Edges of a vector, and how many vectors are kept in view while one is added or searched for. More of them find more,
and take longer: see tests/bench/README.md."""


class VectorGraph:
    """A graph over vectors that stay where they are. Any number of threads may ask."""

    def __init__(self, vectors: NDArray[np.float32], index: Any) -> None:
        """Take (n, d), to which usearch's index refers."""
        self._vectors, self._index = vectors, index

    @property
    def nbytes(self) -> int:
        """What the graph takes in memory, beside the vectors."""
        return int(self._index.memory_usage)

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Return the places of nearly the nearest ones, at most `MOST`, in no order."""
        keys: NDArray[np.uint64] = self._index.search(query, count, threads=1).keys
        return keys.astype(np.int64)


def make_graph(vectors: NDArray[np.float32], *, by_product: bool, is_wanted: Callable[[], bool]) -> VectorGraph | None:
    """Return the graph of (n, d), by inner product or by length of the difference; None once it is not wanted.

    It takes half of the cores for minutes; the other half goes on answering.
    """
    from usearch.index import Index  # noqa: PLC0415 an optional extra

    index = Index(
        ndim=vectors.shape[1],
        metric="ip" if by_product else "l2sq",
        dtype="f32",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
        enable_key_lookups=False,
    )
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    for first in range(0, len(vectors), AT_ONCE):
        if not is_wanted():
            return None
        some = vectors[first : first + AT_ONCE]
        index.add(np.arange(first, first + len(some), dtype=np.uint64), some, copy=False, threads=threads)
    return VectorGraph(vectors, index)
