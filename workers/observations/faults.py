"""Rows that are no observations, and why.

In: rows of a table that failed a check. Out: `Fault`s, each with what was expected and what was found. Knows no rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from undertow.schemas.arrow_columns import Rows
from undertow.schemas.records import Fault

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadRows:
    """Rows of a table that failed one check."""

    reason: str
    """One of `OBSERVATION_REASONS`."""
    column: str
    expected: str
    rows: Rows


def explain_rows(bad: Iterable[BadRows], table: Any) -> tuple[Fault, ...]:
    """Return a fault for each bad row, ascending."""
    faults = [
        Fault(row=row, reason=one.reason, detail=f"{one.column}: expected {one.expected}, found {_shown(value)}")
        for one in bad
        for row, value in zip(one.rows.tolist(), _texts(table[one.column].take(one.rows)), strict=True)
    ]
    return tuple(sorted(faults, key=lambda fault: fault.row))


def _texts(cells: Any) -> list[str]:
    """Return cells as texts; times as Arrow writes them, since Python has no nanoseconds."""
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.string())
    return [str(cell) for cell in cells.to_pylist()]


def _shown(text: str) -> str:
    return f"{text[:_LONGEST_SHOWN]}..." if len(text) > _LONGEST_SHOWN else text
