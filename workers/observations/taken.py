"""What a stream's driver is told of records, and what came of their observations.

In: nothing. Out: plain data. Knows no series.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from undertow.schemas.arrow_columns import Mask, Rows
from undertow.schemas.windows import WindowBatch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordPlaces:
    """Where r records come from, in order."""

    partition: Rows
    offset: Rows
    appended_us: Rows
    emits: Mask
    """(r,) whether windows that they close are wanted: not while a partition is read once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An observation that is none."""

    partition: int
    offset: int
    appended_us: int
    reason: str
    detail: str
    more: int = 0
    """How many others of its record, of the same kind, it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamedWindows:
    """What came of some observations."""

    windows: WindowBatch
    record_of: Rows
    """(w,) the record that closed each window, ascending."""
    refused: tuple[Refusal, ...] = ()
    left_out: Mapping[str, int]
    """How many windows are not made, by reason, see `Windows.left_out`."""
    astray: str = ""
    """A series that was now seen in a second partition."""
