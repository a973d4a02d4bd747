"""Read observations from an Arrow table.

In: a table with a row for each observation. Out: `Observations`, as arrays of the rows that can be used, and the bad
ones. Knows neither cells nor windows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as is_a

from undertow.core.durations import show_microseconds
from undertow.core.errors import Refused
from undertow.observations.category_places import Numbers, encode_categories
from undertow.observations.created_order import CREATED, order_of_column, order_of_pairs
from undertow.observations.faults import BadRows
from undertow.observations.grid import Grid
from undertow.observations.local_times import to_utc
from undertow.observations.series_numbers import number_series
from undertow.observations.table_columns import id_column, time_column, value_column, whole_column
from undertow.schemas.arrow_columns import Mask, Rows, check_ids, read_ends, read_numbers
from undertow.schemas.arrow_faults import is_integer, is_time
from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.times import are_of_another_unit
from undertow.schemas.window_faults import FLOAT32_MAX, LONGEST_ID
from undertow.schemas.windows import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForm:
    """How a table of observations is to be read."""

    ids: Sequence[IdColumn]
    """None: what is observed is so for all series."""
    time: str
    zone: str
    fold: str
    created: str
    columns: Sequence[Column]
    grid: Grid
    statics: Collection[str] = ()
    """The columns that are of a series, and might be said by another table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """n observations, in the order of the rows."""

    rows: Rows
    """(n,) the row of each, ascending."""
    series: Rows
    """(n,) the number of its series."""
    ids: Mapping[str, Values]
    """By id column, (m,): the ids of the series with each number, in order of the ids."""
    time_us: Rows
    index: Rows
    """(n,) its grid point."""
    created: Numbers | None
    """(n, 2) what orders observations of one time, see `created_order`."""
    values: Mapping[str, Numbers]
    """By column, (n,)."""
    names: Mapping[str, Values]
    """By column of categories, (k,): the texts, in order."""
    bad: tuple[BadRows, ...]

    def take(self, kept: Mask, bad: Sequence[BadRows]) -> "Observations":
        """Return some of the observations, and why others are none."""
        return Observations(
            rows=self.rows[kept],
            series=self.series[kept],
            ids=self.ids,
            time_us=self.time_us[kept],
            index=self.index[kept],
            created=None if self.created is None else self.created[kept],
            values={name: column[kept] for name, column in self.values.items()},
            names=self.names,
            bad=(*self.bad, *bad),
        )


def read_observations(table: pa.Table, form: TableForm) -> Observations:
    """Read a table. A row that cannot be used leaves all others as they are. Raises `Refused` for a wrong column."""
    bad: list[BadRows] = []
    good = np.ones(table.num_rows, np.bool_)

    def hold(reason: str, column: str, expected: str, valid: Mask) -> None:
        nonlocal good
        if not valid.all() and len(rows := np.flatnonzero(good & ~valid)):
            bad.append(BadRows(reason=reason, column=column, expected=expected, rows=rows))
            good = good & valid

    time_us, checks = read_times(time_column(table, form.time), form)
    for reason, expected, valid in checks:
        hold(reason, form.time, expected, valid)
    index, near = form.grid.place(time_us)
    hold("off-grid", form.time, _on_grid(form.grid), near)
    if bad and bad[-1].reason == "off-grid":
        off = bad[-1].rows
        bad[-1] = replace(bad[-1], time_us=time_us[off], off_us=form.grid.off_us(time_us[off]))
    ids = {}
    for one in form.ids:
        ids[one.name], valid = check_ids(id_column(table, one), one)
        hold("series", one.name, f"an id: text of 1 to {LONGEST_ID} bytes, or an integer", valid)
    values: dict[str, Numbers] = {}
    names: dict[str, Values] = {}
    for column in form.columns:
        array = value_column(table, column, is_static=column.name in form.statics)
        if column.is_real:
            values[column.name], valid = _numbers(array)
            hold("number", column.name, "a number within float32, or none", valid)
        else:
            values[column.name], names[column.name], valid = encode_categories(array, column)
            hold("category", column.name, "a category that the model knows", valid)
    created = _created(table, form) if form.created else None
    kept = np.flatnonzero(good)
    all_kept = len(kept) == table.num_rows
    usable = {name: column if all_kept else column.filter(pa.array(good)) for name, column in ids.items()}
    series, distinct = number_series(usable)
    return Observations(
        rows=kept,
        series=series if ids else np.zeros(len(kept), np.int64),
        ids=distinct,
        time_us=time_us if all_kept else time_us[kept],
        index=index if all_kept else index[kept],
        created=created if all_kept or created is None else created[kept],
        values={name: column if all_kept else column[kept] for name, column in values.items()},
        names=names,
        bad=tuple(bad),
    )


def read_times(array: Any, form: TableForm) -> tuple[Rows, list[tuple[str, str, Mask]]]:
    """Return (n,) times in microseconds since the epoch, UTC, and what they must be: reason, words, (n,) which are so.

    Raises `Refused` for a column that holds no times.
    """
    times, certain = _times(array, form)
    time_us, valid = read_ends(times)
    checks = [
        ("local-time", f"a time that {form.zone} has once (windows.fold)", certain),
        ("time", "a time to the microsecond, from 1900 to 9998", valid),
    ]
    if is_integer(times.type):
        checks.append(("time", "microseconds since the epoch, in no other unit", ~are_of_another_unit(time_us)))
    return time_us, checks


def _times(array: Any, form: TableForm) -> tuple[Any, Mask]:
    certain = np.ones(len(array), np.bool_)
    if is_time(array.type):
        return array, certain
    if is_a.is_timestamp(array.type) and form.zone:
        return to_utc(array, form.zone, form.fold)
    if form.zone:
        message = (
            f"{form.time}: expected timestamps, or integer microseconds, found {array.type} (in pandas: "
            f"pd.to_datetime(...), which windows.zone takes for local times of {form.zone})"
        )
        raise Refused(message)
    hint = "; windows.zone says in which zone they are" if is_a.is_timestamp(array.type) else ""
    message = (
        f"{form.time}: expected timestamps with a zone, or integer microseconds, found {array.type}{hint} (in pandas: "
        "pd.to_datetime(..., utc=True))"
    )
    raise Refused(message)


def _on_grid(grid: Grid) -> str:
    return f"a time within windows.tolerance ({show_microseconds(grid.tolerance_us)}) of a grid point"


def _created(table: pa.Table, form: TableForm) -> Numbers:
    array = whole_column(table, form.created)
    return order_of_pairs(array) if form.created == CREATED else order_of_column(array)


def _numbers(array: Any) -> tuple[Numbers, Mask]:
    numbers = read_numbers(array) + 0.0  # of -0.0 and 0.0 one is left
    return numbers, ~(np.abs(numbers) > FLOAT32_MAX)  # NaN is a hole
