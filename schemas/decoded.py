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
    """The windows of some records, and the rejects."""

    windows: WindowBatch
    record_of: NDArray[np.int64]
    """(n,) the index, in the decoded sequence, of each window's record."""
    rejects: tuple[Reject, ...]
    ignored_columns: int = 0
    """The number of columns that are not in the input contract, summed over windows."""
    odd_times: int = 0
    """The number of accepted windows with a suspicious event time (`undertow.schemas.event_times`)."""
    odd_time: str = ""
    """The last such window's origin and event time, as text."""


Decode = Callable[[Sequence[Record]], Decoded]
"""A decoder. Never raises, whatever the records hold, except `Unavailable` if a schema registry does not answer."""
