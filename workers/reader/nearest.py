"""The nearest of many vectors: exactly, by one matrix product, or of millions nearly, where a graph of them was made.

In: vectors. Out: places and distances. Knows neither series nor a store.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from undertow.core.errors import WrongUsage
from undertow.reader.graph import MOST, VectorGraph, make_graph

Metric = Literal["cosine", "euclidean"]
ROWS = 1 << 16
"""Vectors of one product: what it leaves in memory stays small. A choice."""


def require_metric(metric: str) -> Metric:
    """Return it. Raises `WrongUsage` for another."""
    for known in get_args(Metric):
        if metric == known:
            return known  # type: ignore[no-any-return] # get_args is untyped
    message = f"metric: expected {' or '.join(get_args(Metric))}, found {metric!r}"
    raise WrongUsage(message)


def distances(vectors: NDArray[np.float32], query: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Return (n,) from (n, d) and (d,): 1 - cosine, or the length of the difference. To a vector of zeros it is 1."""
    if metric == "euclidean":
        apart: NDArray[np.float32] = np.linalg.norm(vectors - query, axis=1)
        return apart
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    products = vectors @ query
    cosines: NDArray[np.float32] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.float32(1) - cosines


class VectorIndex:
    """Vectors of which the nearest ones are asked for again and again. Any number of threads may ask."""

    def __init__(self, vectors: NDArray[np.float32], metric: Metric) -> None:
        """Take (n, d) of finite numbers. Of the cosine's they are kept with length 1."""
        self._metric = metric
        self._vectors = vectors
        if metric == "cosine":
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        self._squares = np.einsum("nd,nd->n", self._vectors, self._vectors)
        self._graph: VectorGraph | None = None

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def nbytes(self) -> int:
        """What vectors and graph take in memory."""
        own = int(self._vectors.nbytes) + int(self._squares.nbytes)
        return own + (self._graph.nbytes if self._graph else 0)

    def add_graph(self, is_wanted: Callable[[], bool]) -> None:
        """Make a graph, which then answers in place of the product; not to the end where it is no longer wanted."""
        self._graph = make_graph(self._vectors, by_product=self._metric == "cosine", is_wanted=is_wanted)

    def nearest(
        self, query: NDArray[np.float32], count: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], bool]:
        """Return the places of the nearest ones, in no order, and whether all vectors were compared for that.

        `among`, (n,), marks those that may be given. A graph knows none of this, and is for few.
        """
        graph = self._graph
        if graph is not None and among is None and count <= MOST:
            return graph.nearest(query, count), False
        scores = np.empty(len(self), np.float32)
        for first in range(0, len(self), ROWS):
            np.matmul(self._vectors[first : first + ROWS], query, out=scores[first : first + ROWS])
        if self._metric == "euclidean":
            scores = 2 * scores - self._squares  # the square of the distance, but for its sign and a constant
        if among is not None:
            (places,) = among.nonzero()
            scores = scores[places]
        else:
            places = np.arange(len(self))
        if count < len(scores):
            places = places[np.argpartition(scores, len(scores) - count)[len(scores) - count :]]
        return places, True
