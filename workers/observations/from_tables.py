"""From tables of observations, of what is known and of statics, to `Windows`.

In: Arrow tables and a `WindowPlan`. Out: `Windows`, and the rows that are none. Knows neither files nor models.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.observations.calendar_columns import calendar_numbers
from undertow.observations.category_places import Numbers, texts_array
from undertow.observations.cells import combine_cells
from undertow.observations.faults import BadRows
from undertow.observations.fills import Fill
from undertow.observations.holes import fill_holes, lay_out
from undertow.observations.plan import PlannedColumn, WindowPlan
from undertow.observations.read import Observations, TableForm, read_observations
from undertow.observations.side_tables import KnownAhead, known_ahead, statics_of
from undertow.observations.spans import cut_spans
from undertow.observations.stated_statics import settle_statics
from undertow.observations.windowed import Windows, require_known
from undertow.schemas.contract import Column
from undertow.schemas.times import FIRST_US, LAST_US
from undertow.schemas.windows import Values


def make_windows(plan: WindowPlan, table: pa.Table, known: pa.Table | None, static: pa.Table | None) -> Windows:
    """Grid the observations and find the windows. Raises `Refused` for a column that is missing or of a wrong type."""
    contract, spec = plan.contract, plan.spec
    observed = list(plan.of("observed"))
    seen = read_observations(table, _form(plan, [*(one.column for one in observed), *plan.static]))
    seen, statics, stated = settle_statics(seen, plan.static)
    if static is not None:
        beside = [column for column in contract.static if column not in plan.static]
        others, there = statics_of(static, contract, beside, seen.ids)
        statics, stated = statics | others, stated & there
    ahead, known_bad = _ahead(plan, known, seen.ids)
    cells = combine_cells(seen, {one.name: one.combine for one in observed})
    needed = [one for one in plan.past if one.fill.kind != "none"]
    max_gap = spec.max_gap_steps if needed else 0
    layout = lay_out(cells, max_gap=max_gap, beside_observed=spec.on == "grid")
    names = dict(seen.names) | ({} if ahead is None else dict(ahead.names))
    columns: dict[str, Numbers] = {}
    fills: dict[str, Fill] = {}
    for one in plan.past:
        if one.source == "calendar":
            columns[one.name] = calendar_numbers(one.calendar, layout.index, plan.grid, spec.zone)
        elif one.source == "known":
            columns[one.name] = require_known(ahead).past(one.name, layout.series, layout.index)
        else:
            columns[one.name] = layout.spread(cells.values[one.name])
        fills[one.name] = _with_place(one, names)
    gridded = fill_holes(layout, columns, fills, max_gap=max_gap)
    spans = cut_spans(
        layout, gridded, ends=spec.on, stride=spec.stride, min_length=plan.min_length, max_length=plan.max_length
    )
    left_out: dict[str, int] = {}

    def keep(why: str, kept: NDArray[np.bool_]) -> None:
        nonlocal spans
        if not kept.all():
            left_out[why] = int(np.count_nonzero(~kept))
            spans = spans.take(kept)

    ends = plan.grid.times(layout.index[spans.last])
    keep("end", (ends >= FIRST_US) & (ends <= LAST_US))
    keep("static", stated[layout.series[spans.last]])
    if any(one.source == "known" for one in plan.future):
        last = spans.last
        keep("known", require_known(ahead).next_steps(layout.series[last], layout.index[last], contract.horizon)[1])
    return Windows(
        plan=plan,
        bad=seen.bad,
        known_bad=known_bad,
        left_out=left_out,
        table=table,
        known_table=known,
        ids=seen.ids,
        layout=layout,
        values=gridded.values,
        names=names,
        statics=statics,
        known=ahead,
        spans=spans,
    )


def _form(plan: WindowPlan, columns: list[Column]) -> TableForm:
    spec = plan.spec
    return TableForm(
        ids=plan.contract.series,
        time=spec.time,
        zone=spec.zone,
        fold=spec.fold,
        created=spec.created,
        columns=columns,
        grid=plan.grid,
    )


def _ahead(
    plan: WindowPlan, known: pa.Table | None, ids: Mapping[str, Values]
) -> tuple[KnownAhead | None, tuple[BadRows, ...]]:
    """Return what is known ahead. The table is keyed by the ids that it has, and time."""
    wanted = list(plan.of("known"))
    if known is None or not wanted:
        return None, ()
    form = _form(plan, [one.column for one in wanted])
    keyed = [one for one in plan.contract.series if one.name in known.column_names]
    created = form.created if form.created in known.column_names else ""
    seen: Observations = read_observations(known, replace(form, ids=keyed, created=created))
    return known_ahead(seen, [one.name for one in wanted], ids), seen.bad


def _with_place(one: PlannedColumn, names: dict[str, Values]) -> Fill:
    """Return the fill with its constant as a number: of a category its place, and a name for it if there was none."""
    if one.fill.kind != "constant" or one.column.is_real:
        return one.fill
    texts = names[one.name].tolist()
    if one.fill.constant not in texts:
        texts.append(one.fill.constant)
        names[one.name] = texts_array(texts)
    return replace(one.fill, constant=float(texts.index(one.fill.constant)))
