"""Columns that follow from the time: hours, days, holidays.

In: indices of grid points, what is asked for, a zone. Out: whole numbers, or these as the texts of categories. Knows
neither observations nor models.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.core.extras import require_extras
from undertow.observations.grid import Grid
from undertow.observations.local_times import in_zone
from undertow.schemas.arrow_columns import Rows

_FRIDAY = 4
_HOLIDAY = "holiday:"
_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "hour": pc.hour,
    "minute": pc.minute,
    "day_of_week": pc.day_of_week,  # Monday is 0
    "day_of_month": pc.day,
    "day_of_year": pc.day_of_year,
    "week": pc.iso_week,
    "month": pc.month,
    "quarter": pc.quarter,
    "is_weekend": lambda times: pc.greater(pc.day_of_week(times), _FRIDAY),
}
KINDS = (*_FIELDS, "index")


def require_calendar(kind: str) -> None:
    """Raise `Refused` if there is no such column, or its package or country is missing."""
    if kind.startswith(_HOLIDAY):
        _holidays(kind)
    elif kind not in KINDS:
        message = f"windows.calendar: expected one of {', '.join(KINDS)}, or holiday:COUNTRY, found {kind!r}"
        raise Refused(message)


def calendar_numbers(kind: str, indices: Rows, grid: Grid, zone: str) -> NDArray[np.float64]:
    """Return (n,) what the calendar says at each grid point; no and yes are 0 and 1."""
    if kind == "index" or not len(indices):
        return indices.astype(np.float64)
    first, last = int(indices.min()), int(indices.max())
    if last - first < len(indices):  # series share their times: each is looked up once
        every = np.arange(first, last + 1)
        return _at(kind, grid.times(every), zone)[indices - first]
    return _at(kind, grid.times(indices), zone)


def calendar_text(kind: str, number: int, categories: tuple[str, ...]) -> str:
    """Return how a model that takes the column as a category has it: False and True, if it knows these."""
    is_yes_or_no = kind == "is_weekend" or kind.startswith(_HOLIDAY)
    words = ("False", "True")
    return words[number] if is_yes_or_no and set(words) & set(categories) else str(number)


def _at(kind: str, times_us: Rows, zone: str) -> NDArray[np.float64]:
    times = in_zone(times_us, zone)
    if not kind.startswith(_HOLIDAY):
        return np.asarray(_FIELDS[kind](times).to_numpy(zero_copy_only=False), np.float64)
    days = pc.floor_temporal(pc.local_timestamp(times), unit="day").to_numpy(zero_copy_only=False)
    distinct, places = np.unique(days.astype("datetime64[D]"), return_inverse=True)
    known = _holidays(kind)
    return np.array([float(day in known) for day in distinct.tolist()])[places]


@cache
def _holidays(kind: str) -> Any:
    """Return a country's holidays, which answer `date in holidays`. Raises `Refused`."""
    require_extras(f"windows.calendar {kind}", "observations")
    import holidays  # noqa: PLC0415 an extra of its own

    country, _, part = kind.removeprefix(_HOLIDAY).partition("-")
    try:
        return holidays.country_holidays(country, subdiv=part or None)
    except NotImplementedError as error:
        message = f"windows.calendar: expected a country, or a part of it, such as holiday:DE-BY, found {kind}: {error}"
        raise Refused(message) from None
