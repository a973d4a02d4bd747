"""A synthetic window as the observations that it would be made of, in each form in which they can be sent.

In: a window, how observations become windows. Out: a table with a row for each step, and the bytes of a record or of a
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
    grid, steps = plan.grid, int(windows.lengths[0])
    apart_us = grid.every_us * plan.spec.stride
    end_us = grid.origin_us + (int(windows.end_us[0]) - grid.origin_us) // apart_us * apart_us
    times_us = [end_us - grid.every_us * before for before in reversed(range(steps))]
    columns = {one.name: [windows.series[one.name].tolist()[0]] * steps for one in plan.contract.series}
    columns[plan.spec.time] = pa.array(times_us, pa.timestamp("us", "UTC"))
    if plan.spec.created:
        columns.setdefault(plan.spec.created, pa.array(times_us, pa.int64()))
    columns |= {one.name: windows.past[one.name][:steps].tolist() for one in plan.of("observed")}
    columns |= {one.name: [windows.static[one.name].tolist()[0]] * steps for one in plan.static}
    return pa.table(columns)


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
