"""The result of decoding records: windows, and rejects.

In: nothing. Out: `Decoded` and the `Decode` callable. Knows no wire format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.records import Record, Reject
from undertow.schemas.windows import WindowBatch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """The windows of some records, and what was refused of them."""

    windows: WindowBatch
    record_of: NDArray[np.int64]
    """(n,) the position, in the decoded sequence, of the record that each window came from."""
    rejects: tuple[Reject, ...]
    ignored_columns: int = 0
    """Columns, summed over windows, that the input contract does not name."""
    odd_times: int = 0
    """Windows that are taken though their event time is hardly meant (`undertow.schemas.event_times`)."""
    odd_time: str = ""
    """Whose the last one of them is, and what it is."""


Decode = Callable[[Sequence[Record]], Decoded]
"""Never raises for what a record holds, only where somebody who must be asked (a schema registry) does not answer."""
