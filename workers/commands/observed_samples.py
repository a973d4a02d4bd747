"""A synthetic window as the observations that it would be made of, and what is known ahead, as they can be sent.

In: a window, how observations become windows. Out: tables with a row for each step, and the bytes of a record or of a
file. Knows no model.
"""

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.commands.samples import Form
from undertow.observations.from_tables import table_form
from undertow.observations.plan import WindowPlan
from undertow.observations.record_arrow import encode_rows
from undertow.schemas.times import format_times
from undertow.schemas.windows import WindowBatch
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import require_format


def make_observations(windows: WindowBatch, plan: WindowPlan) -> pa.Table:
    """Return the rows of the first window, oldest first: ids, the time (UTC), what is observed, stated statics.

    It ends at the last grid point at or before its own end at which windows may end.
    """
    steps = int(windows.lengths[0])
    times_us = _times_us(windows, plan, steps)
    columns = {one.name: [windows.series[one.name].tolist()[0]] * steps for one in plan.contract.series}
    columns[plan.spec.time] = pa.array(times_us, pa.timestamp("us", "UTC"))
    if plan.spec.created:
        columns.setdefault(plan.spec.created, pa.array(times_us, pa.int64()))
    columns |= {one.name: windows.past[one.name][:steps].tolist() for one in plan.of("observed")}
    columns |= {one.name: [windows.static[one.name].tolist()[0]] * steps for one in plan.static}
    return pa.table(columns)


def make_known(windows: WindowBatch, plan: WindowPlan) -> pa.Table:
    """Return what is known ahead of the first window, and at its own steps, oldest first: the time (UTC), columns.

    Without ids, by which it is known of all series. Empty of columns but the time where a model needs nothing of it.
    """
    steps, columns = int(windows.lengths[0]), [one.name for one in plan.of("known")]
    times_us = _times_us(windows, plan, steps + plan.contract.horizon)
    rows = {plan.spec.time: pa.array(times_us, pa.timestamp("us", "UTC"))}
    if plan.spec.created:
        rows.setdefault(plan.spec.created, pa.array(times_us, pa.int64()))
    past = {one.name for one in plan.past}
    for name in columns:
        ahead = windows.future[name][0].tolist()
        rows[name] = (windows.past[name][:steps].tolist() if name in past else ahead[:1] * steps) + ahead
    return pa.table(rows)


def _times_us(windows: WindowBatch, plan: WindowPlan, steps: int) -> list[int]:
    """Return the grid points of so many steps, of which the first is that of the first window."""
    grid = plan.grid
    apart_us = grid.every_us * plan.spec.stride
    end_us = grid.origin_us + (int(windows.end_us[0]) - grid.origin_us) // apart_us * apart_us
    begin_us = end_us - grid.every_us * (int(windows.lengths[0]) - 1)
    return [begin_us + grid.every_us * step for step in range(steps)]


def encode_observations(form: Form, rows: pa.Table, plan: WindowPlan) -> bytes:
    """Return the value of one record with all rows, or a file of Parquet.

    Raises `Refused` where the packages of a form are not installed.
    """
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, write_page_checksum=True)
        content: bytes = sink.getvalue().to_pybytes()
        return content
    require_format(KafkaSettings(format=form))
    if form == "arrow":
        return encode_rows(rows)
    place, times = rows.column_names.index(plan.spec.time), rows[plan.spec.time].cast(pa.int64())
    if form == "json":
        return orjson.dumps(rows.set_column(place, plan.spec.time, [format_times(times.to_numpy())]).to_pylist())
    from undertow.observations.record_avro import avro_row_encoder  # noqa: PLC0415  # an extra

    columns = [*(one.column for one in plan.of("observed")), *plan.static]
    encode = avro_row_encoder(table_form(plan, columns))
    return encode(rows.set_column(place, plan.spec.time, [times.combine_chunks()]).to_pylist())
