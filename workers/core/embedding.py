"""The interface of an embedder: its result type and its signature.

In: nothing. Out: `Embedded`, and the `Embed` callable that the stream and the backfill share. Knows no model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Fault
from undertow.schemas.windows import WindowBatch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The embeddings of a batch of windows, and the windows that have none."""

    embeddings: EmbeddingBatch
    rows: NDArray[np.int64]
    """(m,) the index of each embedding's window in the batch, ascending."""
    faults: tuple[Fault, ...] = ()


Embed = Callable[[WindowBatch], Embedded]
"""Pure: a window gives the same vector in any batch, apart from the order of float32 sums: within 1e-6 relative to the
feature's largest number (or to 1 if that is smaller), which is certified on sample windows. Up to 2.4e-6 was seen on
other windows before each CPU forward had at least four of them (`LEAST_WINDOWS` of `embedder.py`), and no difference
since, among windows of one length."""
