"""What an embedder promises, apart from how it is made.

In: nothing. Out: `Embedded` and the `Embed` callable that the stream and the backfill share. Knows no model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.windows import WindowBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One window that could not be embedded."""

    row: int
    reason: str
    """A code of `undertow.schemas.records.REASONS`."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The embeddings of a batch of windows, and the windows that have none."""

    embeddings: EmbeddingBatch
    rows: NDArray[np.int64]
    """(m,) the window that each embedding belongs to, ascending."""
    faults: tuple[Fault, ...] = ()


Embed = Callable[[WindowBatch], Embedded]
"""Pure: the same window gives the same vector, whatever the batch it travels in, but for the order in which float32
adds: within 1e-6 of a feature's largest number or of 1 on the windows of a certificate. Of others 2.4e-6 was seen
before no forward on a CPU had fewer than four windows, and nothing since, where all have one length."""
