"""Rows that are no observations, and why.

In: rows of a table that failed a check. Out: `Fault`s, each with what was expected and what was found. Knows no rule.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from undertow.core.durations import show_microseconds
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.records import Fault
from undertow.schemas.times import format_times
from undertow.schemas.wording import counted

OBSERVATION_REASONS = {
    "time": "there is no time, or it is outside the years 1900 to 9998, or finer than microseconds",
    "local-time": "the local time is there twice (windows.fold says which is meant), or not at all",
    "off-grid": "the time is further from each grid point than windows.tolerance",
    "series": "a series id is null, empty or too long",
    "number": "a number is infinite, or outside float32",
    "category": "a category that the model was not trained with",
    "static": "a static column differs from what earlier observations of the series say",
}
"""Why a row is left out. Null and NaN are no fault: they are holes."""
_LONGEST_SHOWN = 40
MEND_OFF = 'a greater windows.tolerance takes it, windows.align = "until" any time'
"""What to do about times that are off the grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadRows:
    """Rows of a table that failed one check."""

    reason: str
    """One of `OBSERVATION_REASONS`."""
    column: str
    expected: str
    rows: Rows
    time_us: Rows | None = None
    """(n,) their times, in microseconds since the epoch, UTC, where these are what is wrong with them."""
    off_us: Rows | None = None
    """(n,) how far off the grid these are, in microseconds."""

    def take(self, places: Rows | slice) -> "BadRows":
        """Return some of them."""
        time_us, off_us = (None if one is None else one[places] for one in (self.time_us, self.off_us))
        return replace(self, rows=self.rows[places], time_us=time_us, off_us=off_us)


def explain_rows(bad: Iterable[BadRows], table: Any) -> tuple[Fault, ...]:
    """Return a fault for each bad row, ascending."""
    faults = [
        Fault(row=row, reason=one.reason, detail=f"{one.column}: expected {one.expected}, found {value}")
        for one in bad
        for row, value in zip(one.rows.tolist(), _found(one, table), strict=True)
    ]
    return tuple(sorted(faults, key=lambda fault: fault.row))


def sum_up(bad: Sequence[BadRows], table: Any, said: str = "are no observations") -> str:
    """Say in one sentence how many rows of a table are bad and why, with one of the most frequent kind."""
    if not bad:
        return ""
    counts = Counter[str]()
    for one in bad:
        counts[one.reason] += len(one.rows)
    (example,) = explain_rows([max(bad, key=lambda one: len(one.rows)).take(slice(1))], table)
    kinds = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
    whole = f"{counts.total():,} of {counted(table.num_rows, 'row')}"
    return f"{whole} {said} ({kinds}), for example row {example.row}: {example.detail}"


def time_texts(times: Any) -> list[str]:
    """Return an array of timestamps as texts: in UTC, or without a zone, where they have none.

    As Arrow writes them, since Python has no nanoseconds.
    """
    if times.type.tz is not None:
        times = times.cast(pa.timestamp(times.type.unit, "UTC"))
    return [str(text).replace(" ", "T") for text in times.cast(pa.string()).to_pylist()]


def _found(one: BadRows, table: Any) -> list[str]:
    if one.time_us is not None and one.off_us is not None:
        both = zip(format_times(one.time_us), one.off_us.tolist(), strict=True)
        return [f"{text}, {show_microseconds(off_us)} off: {MEND_OFF}" for text, off_us in both]
    cells = table[one.column].take(one.rows)
    texts = time_texts(cells) if pa.types.is_timestamp(cells.type) else [str(cell) for cell in cells.to_pylist()]
    return [f"{text[:_LONGEST_SHOWN]}..." if len(text) > _LONGEST_SHOWN else text for text in texts]
