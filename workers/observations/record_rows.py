"""Observations of records as one table, whatever the producer's types: what the wire formats have in common.

In: rows of some records, in order. Out: an Arrow table with the columns of a plan, in one set of types, and why rows
are none. Knows no wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from undertow.core.errors import Refused
from undertow.observations.created_order import CREATED, PAIRS, order_of_column, pairs_array
from undertow.observations.faults import time_texts
from undertow.observations.read import TableForm, read_times
from undertow.observations.series_places import PARTITION
from undertow.observations.table_columns import id_column, time_column, value_column, whole_column
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.records import Record

RowFault = tuple[str, str]
"""A reason of `undertow.schemas.records.REASONS`, and what was expected and found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordRows:
    """The observations of r records."""

    table: pa.Table
    """Ids, the time in UTC, `CREATED` if it is asked for, numbers as float64, categories as texts, and `PARTITION`."""
    record_of: Rows
    """(n,) the record of each row, ascending."""
    faults: Mapping[int, list[RowFault]]
    """By record, why rows of it are none, or it has none at all."""


ReadRows = Callable[[Sequence[Record]], RecordRows]
"""Reads records. Never raises, whatever they hold, except `Unavailable` where a schema registry does not answer."""


def row_schema(form: TableForm) -> pa.Schema:
    """Return the types of the table, without `PARTITION`."""
    fields = [(one.name, pa.string() if one.type == "string" else pa.int64()) for one in form.ids]
    fields.append((form.time, pa.timestamp("us", tz="UTC")))
    if form.created:
        fields.append((CREATED, PAIRS))
    fields += [(column.name, pa.float64() if column.is_real else pa.string()) for column in form.columns]
    return pa.schema(list(dict(fields).items()))


def to_rows(
    pieces: Sequence[tuple[pa.Table, Rows]],
    records: Sequence[Record],
    form: TableForm,
    faults: dict[int, list[RowFault]],
) -> RecordRows:
    """Join tables of the types of `row_schema`, each with (n,) the record of its rows, in order of the records."""
    tables = [table for table, _ in pieces] or [row_schema(form).empty_table()]
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    record_of: Rows = np.concatenate([np.zeros(0, np.int64), *(record_of for _, record_of in pieces)])
    index = np.fromiter((record.partition.index for record in records), np.int64, len(records))
    return RecordRows(
        table=table.append_column(PARTITION, pa.array(index[record_of])), record_of=record_of, faults=faults
    )


def in_one_set_of_types(table: pa.Table, form: TableForm) -> tuple[pa.Table, list[tuple[int, RowFault]]]:
    """Return a table in the types of `row_schema`, a null for each time that is none, and these rows with the reason.

    Raises `Refused` for a column that is missing, or of a wrong type.
    """
    columns: dict[str, Any] = {}
    for one in form.ids:
        columns[one.name] = id_column(table, one)
    for column in form.columns:
        columns[column.name] = value_column(table, column, is_static=column.name in form.statics)
    time = time_column(table, form.time)
    time_us, checks = read_times(time, form)
    good, bad = np.ones(len(time_us), np.bool_), []
    for reason, expected, valid in checks:
        rows = np.flatnonzero(good & ~valid)
        found = time.take(rows)
        texts = time_texts(found) if pa.types.is_timestamp(time.type) else found.to_pylist()
        for row, text in zip(rows.tolist(), texts, strict=True):
            bad.append((row, (reason, f"{form.time}: expected {expected}, found {text}")))
        good &= valid
    columns[form.time] = pa.array(time_us, pa.int64(), mask=~good)
    if form.created:
        columns[CREATED] = pairs_array(order_of_column(whole_column(table, form.created)))
    schema = row_schema(form)
    arrays = [columns[name].cast(schema.field(name).type, safe=False) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema), sorted(bad)


def refusal(error: Refused) -> RowFault:
    """Return why a record whose columns do not fit has no rows."""
    return "columns", str(error)
