"""From cells, and what is beside them, to `Windows`: what frames, backfill and stream have in common.

In: `Cells` of some series, their statics, what is known ahead. Out: `Windows`. Knows neither tables nor who made the
cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from undertow.observations.calendar_columns import calendar_numbers
from undertow.observations.category_places import Numbers, texts_array
from undertow.observations.cells import Cells
from undertow.observations.fills import Fill
from undertow.observations.holes import GridSteps, fill_holes, lay_out
from undertow.observations.plan import PlannedColumn, WindowPlan
from undertow.observations.side_tables import KnownAhead, StaticTable
from undertow.observations.spans import cut_spans
from undertow.observations.stated_statics import Stated
from undertow.observations.windowed import Windows, require_known
from undertow.schemas.arrow_columns import Mask, Rows
from undertow.schemas.times import FIRST_US, LAST_US
from undertow.schemas.windows import Values


class Statics(TypedDict):
    """The statics of m series, as `Beside` has them."""

    statics: Mapping[str, Values]
    static_since: Mapping[str, Rows]
    static_known: Mask


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """What windows hold of m series beside cells."""

    ids: Mapping[str, Values]
    """By id column, (m,)."""
    names: Mapping[str, Values]
    """By column of categories, its texts."""
    statics: Mapping[str, Values]
    """By static column, (m,)."""
    static_since: Mapping[str, Rows]
    """By static column that observations state, (m,): since which grid point it is known."""
    static_known: Mask
    """(m,) of which series the other statics are known."""
    known: KnownAhead | None


def statics_beside(
    plan: WindowPlan,
    stated: Stated,
    aside: StaticTable | None,
    ids: Mapping[str, Values],
    names: Mapping[str, Values],
) -> Statics:
    """Join what observations state and what a table says."""
    statics, there = ({}, np.ones(len(next(iter(ids.values()))), np.bool_)) if aside is None else aside.of(ids)
    since = {column.name: stated.since[:, place] for place, column in enumerate(plan.static)}
    return Statics(statics=stated.texts(plan.static, names) | statics, static_since=since, static_known=there)


def cut_windows(plan: WindowPlan, cells: Cells, beside: Beside, new: Mask | None = None) -> Windows:
    """Lay the cells out on the grid, fill holes, and find the windows.

    Of those alone, where `new` (c,) is given, that end at these cells, or at steps that are filled before one of them.
    """
    contract, spec = plan.contract, plan.spec
    layout = lay_out(cells, max_gap=plan.max_gap, beside_observed=spec.on == "grid")
    names = dict(beside.names)
    columns: dict[str, Numbers] = {}
    fills: dict[str, Fill] = {}
    for one in plan.past:
        if one.source == "calendar":
            columns[one.name] = calendar_numbers(one.calendar, layout.index, plan.grid, spec.zone)
        elif one.source == "known":
            columns[one.name] = require_known(beside.known).past(one.name, layout.series, layout.index)
        else:
            columns[one.name] = layout.spread(cells.values[one.name])
        fills[one.name] = _with_place(one, names)
    gridded = fill_holes(layout, columns, fills, max_gap=plan.max_gap)
    spans = cut_spans(
        layout, gridded, ends=spec.on, stride=spec.stride, min_length=plan.min_length, max_length=plan.max_length
    )
    if new is not None:
        spans = spans.take(new[cell_behind(layout)[spans.last]])
    left_out: dict[str, int] = {}

    def keep(why: str, kept: NDArray[np.bool_]) -> None:
        nonlocal spans
        if not kept.all():
            left_out[why] = int(np.count_nonzero(~kept))
            spans = spans.take(kept)

    ends = plan.grid.times(layout.index[spans.last])
    keep("end", (ends >= FIRST_US) & (ends <= LAST_US))
    series, index = layout.series[spans.last], layout.index[spans.last]
    known = beside.static_known[series]
    for column in plan.static:
        if not column.accepts_unknown:
            known = known & (beside.static_since[column.name][series] <= index)
    keep("static", known)
    if any(one.source == "known" for one in plan.future):
        last = spans.last
        keep(
            "known",
            require_known(beside.known).next_steps(layout.series[last], layout.index[last], contract.horizon)[1],
        )
    return Windows(
        plan=plan,
        bad=(),
        known_bad=(),
        left_out=left_out,
        table=None,
        known_table=None,
        ids=beside.ids,
        layout=layout,
        values=gridded.values,
        names=names,
        statics=beside.statics,
        static_since=beside.static_since,
        known=beside.known,
        spans=spans,
    )


def cell_behind(layout: GridSteps) -> Rows:
    """Return (g,) the number of the cell at each step, or of the next one behind it."""
    behind: Rows = np.cumsum(layout.observed) - layout.observed
    return behind


def _with_place(one: PlannedColumn, names: dict[str, Values]) -> Fill:
    """Return the fill with its constant as a number: of a category its place, and a name for it if there was none."""
    if one.fill.kind != "constant" or one.column.is_real:
        return one.fill
    texts = names[one.name].tolist()
    if one.fill.constant not in texts:
        texts.append(one.fill.constant)
        names[one.name] = texts_array(texts)
    return replace(one.fill, constant=float(texts.index(one.fill.constant)))
