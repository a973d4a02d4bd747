"""From tables of observations, of what is known and of statics, to `Windows`.

In: Arrow tables and a `WindowPlan`. Out: `Windows`, and the rows that are none. Knows neither files nor models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from undertow.core.errors import Refused
from undertow.observations.cells import combine_cells
from undertow.observations.faults import BadRows
from undertow.observations.from_cells import Beside, cut_windows, statics_beside
from undertow.observations.plan import WindowPlan
from undertow.observations.read import Observations, TableForm, read_observations
from undertow.observations.side_tables import KnownAhead, StaticTable, known_ahead
from undertow.observations.stated_statics import settle_statics
from undertow.observations.table_columns import of_table
from undertow.observations.windowed import Windows
from undertow.schemas.contract import Column
from undertow.schemas.lookalikes import looks_misspelt
from undertow.schemas.windows import Values


def make_windows(plan: WindowPlan, table: pa.Table, known: pa.Table | None, static: pa.Table | None) -> Windows:
    """Grid the observations and find the windows. Raises `Refused` for a column that is missing or of a wrong type."""
    observed = list(plan.of("observed"))
    seen = read_observations(table, table_form(plan, [*(one.column for one in observed), *plan.static]))
    seen, stated = settle_statics(seen, plan.static)
    ahead, known_bad = read_known(plan, known, seen.ids)
    names = dict(seen.names) | ({} if ahead is None else dict(ahead.names))
    aside = static_table(plan, static)
    beside = Beside(ids=seen.ids, names=names, known=ahead, **statics_beside(plan, stated, aside, seen.ids, names))
    windows = cut_windows(plan, combine_cells(seen, {one.name: one.combine for one in observed}), beside)
    return replace(windows, bad=seen.bad, known_bad=known_bad, table=table, known_table=known)


def table_form(plan: WindowPlan, columns: Sequence[Column]) -> TableForm:
    """Return how a table of observations with these columns is to be read."""
    spec = plan.spec
    return TableForm(
        ids=plan.contract.series,
        time=spec.time,
        zone=spec.zone,
        fold=spec.fold,
        created=spec.created,
        columns=columns,
        grid=plan.grid,
        statics=tuple(column.name for column in plan.static),
    )


def static_table(plan: WindowPlan, static: pa.Table | None) -> StaticTable | None:
    """Return what is said of the statics that observations do not state. Raises `Refused`."""
    others = [column for column in plan.contract.static if column not in plan.static]
    if static is None:
        return None
    with of_table("the table of statics (windows.static, static=)", static):
        return StaticTable(static, plan.contract, others)


def read_known(
    plan: WindowPlan, known: pa.Table | None, ids: Mapping[str, Values]
) -> tuple[KnownAhead | None, tuple[BadRows, ...]]:
    """Return what is known ahead. The table is keyed by the ids that it has, and time. Raises `Refused`."""
    wanted = list(plan.of("known"))
    if known is None or not wanted:
        return None, ()
    form = table_form(plan, [one.column for one in wanted])
    keyed = [one for one in plan.contract.series if one.name in known.column_names]
    created = form.created if form.created in known.column_names else ""
    with of_table("what is known ahead (windows.known, known=)", known):
        seen: Observations = read_observations(known, replace(form, ids=keyed, created=created))
        ahead = known_ahead(seen, [one.name for one in wanted], ids)
        if len(ahead.keys) < len(seen.rows) and not created:
            _require_ids(plan, known)
    return ahead, seen.bad


def _require_ids(plan: WindowPlan, known: pa.Table) -> None:
    """Raise `Refused` where an id seems to be misspelt in a table that has several rows of one time.

    One of them would be taken for what is known of all series.
    """
    contract = plan.contract
    columns = (*contract.past, *contract.future)
    others = [*(one.name for one in contract.series), *(one.name for one in columns), plan.spec.time]
    for name in (one.name for one in contract.series):
        if name not in known.column_names and (hint := looks_misspelt(name, known.column_names, others)):
            message = f"expected the id {name}, since there are several rows of one time, found none{hint}"
            raise Refused(message)
