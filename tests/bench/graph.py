"""A graph over many vectors, as `Reader.neighbours` makes above a million: time, memory, recall. No server.

In: how many vectors. Out: lines of text. `python tests/bench/graph.py 1000000`
"""

import sys
import time

import numpy as np

from undertow.reader import graph
from undertow.reader.nearest import VectorIndex
from undertow.reader.series_index import SPARE, TIMES

SIZE, CLUSTER, SEARCHES, K = 32, 500, 100, 10
VIEWS = (64, 128, 256, 512)


def vectors_of(count: int) -> np.ndarray:
    """Return vectors in clusters, as hidden states are, of length 1."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(count // CLUSTER, SIZE))
    vectors = centres[rng.integers(len(centres), size=count)] + 0.3 * rng.normal(size=(count, SIZE))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def main(count: int) -> None:
    """Measure, print. CPU seconds, since the clock's tell of a busy machine what ran beside."""
    vectors, queries = vectors_of(count), np.random.default_rng(2).integers(count, size=SEARCHES).tolist()
    exact = VectorIndex(vectors, "cosine")
    began = time.perf_counter()
    wanted = [{*exact.nearest(vectors[query], K + 1)[0].tolist()} - {query} for query in queries]
    print(f"{count:,} x {SIZE}: the product takes {1e3 * (time.perf_counter() - began) / SEARCHES:.1f} ms")
    began = time.process_time()
    made = graph.make_graph(vectors, by_product=True, is_wanted=lambda: True)
    assert made is not None
    print(f"made in {time.process_time() - began:.0f} CPU s; {made.nbytes / 1e6:,.0f} MB")
    for view in VIEWS:
        made._index.expansion_search = view  # what the reader has fixed
        began = time.process_time()
        found = [{*made.nearest(vectors[query], TIMES * K + SPARE).tolist()} for query in queries]
        taken = 1e3 * (time.process_time() - began) / SEARCHES
        recalls = [len(one & other) / len(one) for one, other in zip(wanted, found, strict=True)]
        print(f"{view} in view: {taken:.2f} CPU ms, recall@{K} {np.mean(recalls):.3f}, worst {min(recalls):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
