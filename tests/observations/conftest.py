"""Observations as rows, and windows in a form that can be compared."""

import numpy as np
import pyarrow as pa

from tests.observations.reference import is_hole
from undertow.observations.from_tables import make_windows
from undertow.observations.plan import make_plan
from undertow.schemas.contract import Column, IdColumn, InputContract

SITE = (IdColumn(name="site", type="string"),)
TIME = "event_timestamp"


def contract_of(*columns, **changes):
    given = {
        "series": SITE,
        "past": tuple(Column(name=one) if isinstance(one, str) else one for one in columns),
        "min_length": 1,
        "max_length": 4,
    }
    return InputContract(**given | changes)


def table_of(rows, kinds):
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()})


def made(table, contract, spec, known=None, static=None):
    plan = make_plan(
        spec,
        contract,
        known=() if known is None else known.column_names,
        static=() if static is None else static.column_names,
    )
    return make_windows(plan, table, known, static)


def plainly(windows):
    """Return windows as (ids, end, steps, statics), a missing step as "missing"."""
    shown = []
    for batch in windows.batches(3):
        starts = batch.starts
        for row in range(len(batch)):
            steps = [
                {name: column[place] for name, column in batch.past.items()}
                for place in range(starts[row], starts[row + 1])
            ]
            shown.append(
                (
                    tuple(column[row] for column in batch.series.values()),
                    batch.end_us[row],
                    ["missing" if all(map(is_hole, one.values())) else one for one in steps],
                    {name: None if is_hole(column[row]) else column[row] for name, column in batch.static.items()},
                )
            )
    return shown


def bits(windows):
    """Return everything that windows hold, to the bit."""
    batch = windows.take(np.arange(len(windows)))
    parts = (batch.series, batch.past, batch.future, batch.static)
    columns = [column for part in parts for column in part.values()]
    texts = [column.tolist() if column.dtype == object else column.tobytes() for column in columns]
    return [batch.end_us.tobytes(), batch.lengths.tobytes(), *texts]
