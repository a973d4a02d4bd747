"""Windows of a table of observations, made when they are asked for.

In: columns on the grid, and where windows begin and end. Out: `Windows`: batches of windows of them. Knows neither
files nor models, nor how the columns came about.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.observations.calendar_columns import calendar_numbers, calendar_text
from undertow.observations.category_places import Numbers, category_texts, texts_array
from undertow.observations.faults import BadRows, explain_rows, sum_up
from undertow.observations.holes import GridSteps
from undertow.observations.plan import PlannedColumn, WindowPlan
from undertow.observations.side_tables import KnownAhead
from undertow.observations.spans import Spans
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.contract import Column, InputContract
from undertow.schemas.records import Fault
from undertow.schemas.windows import Values, WindowBatch
from undertow.schemas.windows_arrow import window_schema, windows_to_arrow
from undertow.schemas.wording import counted

LEFT_OUT = {
    "end": "they end outside the years 1900 to 9998",
    "static": "not all statics of their series are known by then",
    "known": "not all that is known ahead of them is there",
}
"""Why windows are not made, by reason."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Windows:
    """The windows of a table of observations, made by `undertow.windows`.

    In order of the series' ids, then of their ends. What it holds are the columns on the grid, once: windows overlap,
    so they are made batch by batch. `ArtifactEmbedder.embed` takes it, and gives vectors in the order of the windows.
    """

    plan: WindowPlan
    """What was asked for."""
    bad: tuple[BadRows, ...]
    """Rows that are no observations, as `faults` explains them."""
    known_bad: tuple[BadRows, ...]
    """The same of the table of what is known."""
    left_out: Mapping[str, int]
    """How many windows are not made, by reason: `static`, a static of the series is not known by then; `known`, not all
    that is known ahead is there; `end`, they end outside the years 1900 to 9998."""
    table: Any
    """The observations as they were given."""
    known_table: Any
    ids: Mapping[str, Values]
    """By id column, (m,): the ids of each series."""
    layout: GridSteps
    values: Mapping[str, Numbers]
    """By column of the past, (g,): its values on the grid; categories as places in `names`."""
    names: Mapping[str, Values]
    """By column of categories, (k,): its texts."""
    statics: Mapping[str, Values]
    """By static column, (m,)."""
    static_since: Mapping[str, Rows]
    """By static column that observations state, (m,): the grid point since which it is known of each series."""
    known: KnownAhead | None
    spans: Spans

    def __len__(self) -> int:
        return len(self.spans.last)

    def __repr__(self) -> str:
        """Return how many there are: what they hold may be millions of numbers."""
        series = len(next(iter(self.ids.values()), ()))
        rows = counted(sum(len(one.rows) for one in self.bad), "row")
        why = f"; {self.why_none}" if self.why_none else ""
        return f"<Windows: {len(self):,} of {series:,} series, {rows} refused{why}>"

    @property
    def contract(self) -> InputContract:
        """What the model takes, which the windows fit."""
        return self.plan.contract

    @property
    def why_none(self) -> str:
        """Why there is no window, where there is none: what was found, and what one needs. Empty where there are some.

        How many rows are no observations is part of it, with one of them; `faults` has them all.
        """
        if len(self):
            return ""
        said = [f"{count:,} left out, since {LEFT_OUT[reason]}" for reason, count in self.left_out.items()]
        refused = sum(len(one.rows) for one in self.bad)
        if not said and (refused < self.table.num_rows or not refused):
            said = [explain_none(self.plan, self.spans.longest)]
        if self.known_bad:
            said.append(sum_up(self.known_bad, self.known_table, "of what is known ahead say nothing"))
        return "; ".join([*([sum_up(self.bad, self.table)] if refused else []), *said])

    @property
    def series(self) -> Mapping[str, Values]:
        """By id column, (n,): whose window it is, int64 or object of str."""
        numbers = self.layout.series[self.spans.last]
        return {name: column[numbers] for name, column in self.ids.items()}

    @property
    def end_us(self) -> NDArray[np.int64]:
        """(n,) the grid point at which each window ends: microseconds since the epoch, UTC."""
        return self.plan.grid.times(self.layout.index[self.spans.last])

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """The rows that are no observations, ascending: `row`, `reason` (a code), `detail` (a sentence).

        They leave the observations beside them as they are.
        """
        return explain_rows(self.bad, self.table)

    @cached_property
    def known_faults(self) -> tuple[Fault, ...]:
        """The same of the table of what is known."""
        return explain_rows(self.known_bad, self.known_table)

    def take(self, rows: Rows) -> WindowBatch:
        """Return the windows of these rows, from 0, in the given order."""
        last, lengths = self.spans.last[rows], self.spans.length[rows]
        begins = last - lengths + 1
        steps = np.repeat(begins - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
        series, index = self.layout.series[last], self.layout.index[last]
        return WindowBatch(
            series={name: column[series] for name, column in self.ids.items()},
            end_us=self.plan.grid.times(index),
            lengths=lengths,
            past={one.name: self._texts(one, self.values[one.name][steps]) for one in self.plan.past},
            future=self._future(series, index),
            static={column.name: self._static(column, series, index) for column in self.contract.static},
        )

    def batches(self, rows: int = 1024) -> Iterator[WindowBatch]:
        """Yield all windows, `rows` at a time."""
        for first in range(0, len(self), rows):
            yield self.take(np.arange(first, min(first + rows, len(self))))

    def to_arrow(self) -> pa.Table:
        """Return all windows as a nested table, a row each, as `undertow backfill` reads them from Parquet.

        Each step is there once for each window that holds it. To write more than fits into memory, take `batches`.
        """
        tables = [windows_to_arrow(batch, self.contract) for batch in self.batches(1 << 14)]
        return pa.concat_tables(tables) if tables else window_schema(self.contract).empty_table()

    def _static(self, column: Column, series: Rows, index: Rows) -> Values:
        """Return (n,) what is known of a series at a window's end: what is said later is not in it."""
        values, since = self.statics[column.name][series], self.static_since.get(column.name)
        if since is None or (known := since[series] <= index).all():
            return values
        nothing = np.full(len(values), np.nan if column.is_real else None, values.dtype)
        return np.where(known, values, nothing)

    def _future(self, series: Rows, index: Rows) -> dict[str, Values]:
        horizon, plan = self.contract.horizon, self.plan
        future: dict[str, Values] = {}
        for one in plan.future:
            if one.source == "calendar":
                ahead = (index[:, None] + np.arange(1, horizon + 1)).reshape(-1)
                numbers = calendar_numbers(one.calendar, ahead, plan.grid, plan.spec.zone).reshape(-1, horizon)
            else:
                known = require_known(self.known)
                numbers = known.cells.values[one.name][known.next_steps(series, index, horizon)[0]]
            future[one.name] = self._texts(one, numbers)
        return future

    def _texts(self, planned: PlannedColumn, numbers: Numbers) -> Values:
        """Return a column as windows have it: numbers as they are, categories as texts."""
        if planned.column.is_real:
            return numbers
        if planned.source != "calendar":
            return category_texts(self.names[planned.name], numbers)
        # Of several NaN, which are missing steps, one is left.
        distinct, places = np.unique(numbers, return_inverse=True)
        categories = planned.column.categories or ()
        texts = [
            None if isnan(number) else calendar_text(planned.calendar, int(number), categories)
            for number in distinct.tolist()
        ]
        chosen: Values = texts_array(texts)[places.reshape(numbers.shape)]
        return chosen


def explain_none(plan: WindowPlan, longest: int) -> str:
    """Say why no window is made of observations in which the longest run has so many steps."""
    run = f"{counted(longest, 'step')} of {plan.spec.every}" if longest else "none at which a window may end"
    ahead = [one.name for one in plan.of("known")]
    known = f"; at each step {', '.join(ahead)} must be known, too (windows.known or known_topic)" if ahead else ""
    return f"longest run: {run}, a window needs {plan.min_length:,}{known}"


def require_known(known: KnownAhead | None) -> KnownAhead:
    """Return what is known ahead: a plan has a column of it only where there is a table."""
    assert known is not None  # noqa: S101 for the type checker
    return known
