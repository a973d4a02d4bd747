"""Observations that are objects, with the names of columns as keys: what JSON and Avro have in common.

In: records, how one is parsed. Out: `RecordRows`. A key that is missing is a hole, as null is, but one column of those
that vary must be there: else a name is misspelt. Knows no wire format.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from undertow.observations.created_order import CREATED, order_of_value, pairs_array
from undertow.observations.local_times import to_utc
from undertow.observations.read import TableForm
from undertow.observations.record_rows import ReadRows, RecordRows, RowFault, row_schema, to_rows
from undertow.schemas.documents import size_fault
from undertow.schemas.lookalikes import looks_misspelt
from undertow.schemas.records import Record
from undertow.schemas.times import are_of_another_unit, guess_unit, parse_time

Row = Mapping[str, Any]
_SHOWN = 40
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def document_reader(
    form: TableForm,
    parse: Callable[[bytes], list[Any] | RowFault],
    *,
    some_of: Sequence[str],
    max_record_bytes: int,
) -> ReadRows:
    """Return the function that reads records; `parse` returns the observations of one, or why it has none.

    Each must have at least one column of `some_of`.
    """
    schema = row_schema(form)

    def read(records: Sequence[Record]) -> RecordRows:
        rows: list[Row] = []
        owners: list[int] = []
        faults: dict[int, list[RowFault]] = {}
        for position, record in enumerate(records):
            found = size_fault(record.value or b"", max_record_bytes) or parse(record.value or b"")
            if isinstance(found, tuple):
                faults[position] = [found]
                continue
            for row in found:
                if (fault := _shape_fault(row, some_of)) is not None:
                    faults.setdefault(position, []).append(fault)
                else:
                    rows.append(row)
                    owners.append(position)
        columns, bad = _columns(rows, form, schema)
        kept = np.ones(len(rows), np.bool_)
        for row, fault in sorted(bad.items()):
            faults.setdefault(owners[row], []).append(fault)
            kept[row] = False
        table = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        record_of = np.array(owners, np.int64)
        if bad:
            table, record_of = table.filter(pa.array(kept)), record_of[kept]
        return to_rows([(table, record_of)], records, form, faults)

    return read


def _shape_fault(row: object, some_of: Sequence[str]) -> RowFault | None:
    if not isinstance(row, dict):
        return "not-json", f"expected an observation as a JSON object, found a {type(row).__name__}"
    if some_of and not any(name in row for name in some_of):
        hint = looks_misspelt(some_of[0], list(row))
        there = hint or f"; there is {_shown(', '.join(row))}"
        return "columns", f"expected at least one of {', '.join(some_of)}, found none{there}"
    return None


def _shown(text: str) -> str:
    return text[:_SHOWN]


def _columns(rows: Sequence[Row], form: TableForm, schema: pa.Schema) -> tuple[dict[str, Any], dict[int, RowFault]]:
    """Return the columns, and by row the first fault."""
    bad: dict[int, RowFault] = {}

    def held(name: str, fits: Callable[[Any], bool], reason: str, expected: str) -> list[Any]:
        """Return the values that fit, and null for others, whose rows are bad."""
        values = [row.get(name) for row in rows]
        for row, value in enumerate(values):
            if value is not None and not fits(value):
                values[row] = None
                is_text = reason == "number" and isinstance(value, str)
                found = f'the text "{_shown(value)}"' if is_text else _shown(str(value))
                bad.setdefault(row, (reason, f"{name}: expected {expected}, found {found}"))
        return values

    columns = {form.time: _times([row.get(form.time) for row in rows], form, bad)}
    for one in form.ids:
        fits, expected = (_is_text, "a text") if one.type == "string" else (_is_whole, "a whole number of 64 bits")
        columns[one.name] = pa.array(held(one.name, fits, "series", expected), schema.field(one.name).type)
    for column in form.columns:
        if column.is_real:
            numbers = held(column.name, _is_number, "number", "a number or null")
            columns[column.name] = pa.array([None if one is None else float(one) for one in numbers], pa.float64())
        else:
            names = held(column.name, _is_name, "category", "a text, a whole number or null")
            columns[column.name] = pa.array([None if one is None else str(one) for one in names], pa.string())
    if form.created:
        orders = held(form.created, lambda one: order_of_value(one) is not None, "time", "a number, a time or null")
        columns[CREATED] = pairs_array(np.array([order_of_value(one) for one in orders], np.float64))
    return columns, bad


def _times(values: Sequence[Any], form: TableForm, bad: dict[int, RowFault]) -> Any:
    """Return the times in UTC, null where there is none."""
    times: list[int | None] = [None] * len(values)
    local: dict[int, datetime] = {}
    for row, value in enumerate(values):
        try:
            times[row] = parse_time(value)
        except ValueError as error:
            if form.zone and (there := _local(value)) is not None:
                local[row] = there
            else:
                fault = f"{form.time}: expected a time, found {str(value)[:_SHOWN]}: {error}{guess_unit(value)}"
                bad.setdefault(row, ("time", fault))
    whole = np.array(
        [row for row, value in enumerate(values) if type(value) is int and times[row] is not None], np.int64
    )
    for row in whole[are_of_another_unit(np.array([times[row] for row in whole.tolist()], np.int64))].tolist():
        fault = f"{form.time}: expected microseconds since the epoch, found {values[row]}{guess_unit(values[row])}"
        bad.setdefault(row, ("time", fault))
    if local:
        utc, certain = to_utc(pa.array(list(local.values()), pa.timestamp("us")), form.zone, form.fold)
        for row, time_us, is_certain in zip(local, utc.cast(pa.int64()).to_pylist(), certain.tolist(), strict=True):
            times[row] = time_us
            if not is_certain:
                expected = f"a time that {form.zone} has once (windows.fold)"
                bad.setdefault(row, ("local-time", f"{form.time}: expected {expected}, found {local[row].isoformat()}"))
    return pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _local(value: object) -> datetime | None:
    """Return a time without a zone."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is None else None


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_whole(value: object) -> bool:
    return type(value) is int and _LEAST <= value <= _MOST


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _is_name(value: object) -> bool:
    return type(value) in {int, str}
