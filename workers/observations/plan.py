"""What is asked of the observations for the windows of one model.

In: a `WindowSpec`, an input contract, and which columns side tables have. Out: a `WindowPlan`: where each column comes
from, and what is done to it. Knows no data.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from undertow.core.errors import Refused
from undertow.observations.fills import NO_FILL, Fill
from undertow.observations.grid import Grid
from undertow.observations.spec import OTHERS, WindowSpec
from undertow.schemas.contract import Column, InputContract
from undertow.schemas.lookalikes import looks_misspelt
from undertow.schemas.wording import between

ColumnSource = Literal["observed", "known", "calendar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedColumn:
    """Where a column of the past or the future comes from."""

    column: Column
    source: ColumnSource
    combine: str = "last"
    fill: Fill = NO_FILL
    calendar: str = ""
    """What the calendar is asked, if that is the source."""

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """Everything that turns observations into windows of one model, checked."""

    spec: WindowSpec
    contract: InputContract
    grid: Grid
    past: tuple[PlannedColumn, ...]
    future: tuple[PlannedColumn, ...]
    static: tuple[Column, ...]
    """Static columns that each observation states; the others are in the side table."""
    min_length: int
    max_length: int

    @property
    def max_gap(self) -> int:
        """The most holes in a row that are filled; 0 where no column has any filled."""
        return self.spec.max_gap_steps if any(one.fill.kind != "none" for one in self.past) else 0

    def of(self, source: ColumnSource) -> Iterator[PlannedColumn]:
        """Yield the columns that come from there, one of the past before one of the future, each once."""
        found = {one.name: one for one in (*self.future, *self.past) if one.source == source}
        yield from found.values()


def make_plan(
    spec: WindowSpec, contract: InputContract, *, known: Collection[str] = (), static: Collection[str] = ()
) -> WindowPlan:
    """Hold a specification against what a model takes. Raises `Refused`.

    `known` and `static` are the columns of the side tables, if there are any. What is known ahead comes from the
    calendar or else from `known`; of the past whatever is in neither is observed.
    """
    ahead = {column.name for column in contract.future}
    _require_names(spec, contract)

    def source(column: Column) -> ColumnSource:
        if column.name in spec.calendar:
            return "calendar"
        if column.name in ahead and column.name not in known:
            found = f"that table has {', '.join(known)}" if known else "there is no such table"
            message = (
                f"{column.name} is known ahead: expected it in windows.calendar, or in a table of what is known "
                f"(windows.known, known=), found it in neither; {found}{looks_misspelt(column.name, known)}"
            )
            raise Refused(message)
        return "known" if column.name in ahead else "observed"

    def planned(column: Column) -> PlannedColumn:
        where = source(column)
        if where == "calendar":
            return PlannedColumn(column=column, source=where, calendar=spec.calendar[column.name])
        return PlannedColumn(column=column, source=where, combine=_combine(spec, column), fill=_fill(spec, column))

    past = tuple(map(planned, contract.past))
    if not contract.allows_gaps and (nulls := [one.name for one in past if one.fill.kind == "null"]):
        message = f"windows.fill: null needs a model that takes windows with missing steps, for {', '.join(nulls)}"
        raise Refused(message)
    shortest, longest = spec.min_length or contract.min_length, spec.max_length or contract.max_length
    if not contract.min_length <= shortest <= longest <= contract.max_length:
        takes = between(contract.min_length, contract.max_length, "step")
        message = f"windows.min_length and windows.max_length: the model takes {takes}, found {shortest} to {longest}"
        raise Refused(message)
    return WindowPlan(
        spec=spec,
        contract=contract,
        grid=Grid(every_us=spec.every_us, origin_us=spec.origin_us, align=spec.align, tolerance_us=spec.tolerance_us),
        past=past,
        future=tuple(map(planned, contract.future)),
        static=tuple(column for column in contract.static if column.name not in static),
        min_length=shortest,
        max_length=longest,
    )


def _require_names(spec: WindowSpec, contract: InputContract) -> None:
    names = {column.name for column in (*contract.past, *contract.future)}
    keys = (("calendar", spec.calendar), ("combine", spec.combine), ("fill", spec.fill))
    for key, given in keys:
        if isinstance(given, Mapping) and (alien := sorted(given.keys() - names - {OTHERS})):
            near = {name.lower(): name for name in names}
            close = difflib.get_close_matches(alien[0].lower(), near, n=1)
            found = ", ".join(alien) + (f": did you mean {near[close[0]]}?" if close else "")
            message = f"windows.{key}: expected columns of the model ({', '.join(sorted(names))}), found {found}"
            raise Refused(message)


def _combine(spec: WindowSpec, column: Column) -> str:
    rule = spec.combine_of(column.name)
    if column.is_real or rule == "last":
        return rule
    if isinstance(spec.combine, str) or column.name not in spec.combine:
        return "last"  # what is said of all columns, or of others, is meant for numbers
    message = f"windows.combine: {column.name} holds categories, which can only be last, found {rule}"
    raise Refused(message)


def _fill(spec: WindowSpec, column: Column) -> Fill:
    fill = spec.fill_of(column.name)
    if fill.kind != "constant":
        return fill
    if column.is_real:
        try:
            return Fill(kind="constant", constant=float(fill.constant))
        except ValueError:
            message = f"windows.fill: {column.name} holds numbers, found the constant {fill.constant!r}"
            raise Refused(message) from None
    known = column.categories or ()
    text = fill.constant if isinstance(fill.constant, str) else f"{fill.constant:g}"
    if column.accepts_unknown or text in known:
        return Fill(kind="constant", constant=text)
    message = f"windows.fill: expected a category of {column.name} ({', '.join(known)}), found {text!r}"
    raise Refused(message)
