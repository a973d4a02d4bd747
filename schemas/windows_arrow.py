"""Convert windows from and to Arrow, as in Parquet files and Arrow IPC messages.

In: a table or a record batch, and the input contract. Out: a `WindowBatch` of the valid rows, and the faults of others;
or a table of windows. Knows neither Kafka nor files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from undertow.schemas.arrow_columns import (
    Mask,
    Rows,
    all_of_row,
    find_gaps,
    not_null,
    read_elements,
    read_ends,
    read_ids,
    read_lists,
    take_lists,
)
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import Column, InputContract
from undertow.schemas.records import Fault
from undertow.schemas.window_faults import Document, find_faults
from undertow.schemas.windows import Values, WindowBatch

STAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrowWindows:
    """The valid windows of a table, and its invalid rows."""

    windows: WindowBatch
    rows: Rows
    """(n,) the table's row of each window, ascending."""
    bad: tuple[Fault, ...]
    ignored_columns: int
    """The number of columns that are not in the contract, summed over rows."""


def window_schema(contract: InputContract) -> pa.Schema:
    """Return the Arrow schema that `windows_to_arrow` writes; `schema_fault` decides what else can be read."""

    def element(column: Column) -> Any:
        return pa.float64() if column.is_real else pa.string()

    def lists(columns: Sequence[Column]) -> Any:
        return pa.struct([pa.field(column.name, pa.list_(element(column))) for column in columns])

    ids = [pa.field(column.name, pa.string() if column.type == "string" else pa.int64()) for column in contract.series]
    fields = [
        pa.field("series", pa.struct(ids)),
        pa.field("end", STAMP),
        pa.field("past", lists(contract.past)),
    ]
    if contract.future:
        fields.append(pa.field("future", lists(contract.future)))
    if contract.static:
        scalars = [pa.field(column.name, element(column)) for column in contract.static]
        fields.append(pa.field("static", pa.struct(scalars)))
    return pa.schema(fields)


def windows_to_arrow(windows: WindowBatch, contract: InputContract) -> pa.Table:
    """Return the windows as a table of `window_schema(contract)`."""
    schema = window_schema(contract)
    starts = pa.array(windows.starts.astype(np.int32))
    steps = pa.array(np.arange(len(windows) + 1, dtype=np.int32) * np.int32(contract.horizon))
    make: dict[str, Callable[[str], Any]] = {
        "series": lambda name: pa.array(windows.series[name]),
        "past": lambda name: pa.ListArray.from_arrays(starts, pa.array(windows.past[name], from_pandas=True)),
        "future": lambda name: pa.ListArray.from_arrays(steps, pa.array(windows.future[name].reshape(-1))),
        "static": lambda name: pa.array(windows.static[name]),
    }
    columns = []
    for part in schema:
        if part.name == "end":
            columns.append(pa.array(windows.end_us, pa.int64()).cast(STAMP))
        else:
            arrays = [make[part.name](inner.name).cast(inner.type) for inner in part.type]
            columns.append(pa.StructArray.from_arrays(arrays, fields=list(part.type)))
    return pa.Table.from_arrays(columns, schema=schema)


def windows_from_arrow(
    data: pa.Table | pa.RecordBatch, contract: InputContract, explained: Callable[[Rows], Rows] = np.asarray
) -> ArrowWindows:
    """Read windows. An invalid row becomes a fault, with the reason that the JSON codec gives; the others are kept.

    Never raises for valid Arrow data; bytes from outside must be fully validated before. The arrays share the memory of
    `data` if all rows are valid and it holds float64. Of the invalid rows of each batch in `data`, only those that
    `explained` returns are reported.
    """
    batches = [data] if isinstance(data, pa.RecordBatch) else data.to_batches()
    if not batches:
        empty = [pa.array([], kind) for kind in data.schema.types]
        batches = [pa.RecordBatch.from_arrays(empty, schema=data.schema)]
    read = [_read(batch, contract, explained) for batch in batches]
    if len(read) == 1:
        return read[0]
    begins = np.cumsum([0, *(batch.num_rows for batch in batches)])
    return ArrowWindows(
        windows=WindowBatch.concat([part.windows for part in read]),
        rows=np.concatenate([part.rows + begin for part, begin in zip(read, begins, strict=False)]),
        bad=tuple(
            Fault(row=bad.row + int(begin), reason=bad.reason, detail=bad.detail)
            for part, begin in zip(read, begins, strict=False)
            for bad in part.bad
        ),
        ignored_columns=sum(part.ignored_columns for part in read),
    )


def _read(batch: pa.RecordBatch, contract: InputContract, explained: Callable[[Rows], Rows]) -> ArrowWindows:
    fault = schema_fault(batch.schema, contract)
    if fault is not None:
        refused = tuple(Fault(row=row, reason=fault[0], detail=fault[1]) for row in range(batch.num_rows))
        nothing = pa.RecordBatch.from_pylist([], schema=window_schema(contract))
        return replace(_read(nothing, contract, explained), bad=refused)
    arrays = {part: _fields(batch, part, names) for part, names in _parts(contract).items()}
    ends, valid = read_ends(batch.column("end"))
    series: dict[str, Values] = {}
    for identity in contract.series:
        series[identity.name], good = read_ids(arrays["series"][identity.name], identity)
        valid &= good
    past, good = _read_lists(arrays["past"], contract.past, batch.num_rows, allows_gaps=contract.allows_gaps)
    lengths = np.diff(past[contract.past[0].name][1])
    valid &= good & (lengths >= contract.min_length) & (lengths <= contract.max_length)
    for _, starts in past.values():
        valid &= np.diff(starts) == lengths
    future, good = _read_lists(arrays.get("future", {}), contract.future, batch.num_rows)
    valid &= good
    for _, starts in future.values():
        valid &= np.diff(starts) == contract.horizon
    static: dict[str, Values] = {}
    if contract.static:
        valid &= not_null(batch.column("static"))  # a part that is null is missing, whatever its columns hold
    for column in contract.static:
        static[column.name], good = read_elements(arrays["static"][column.name], column)
        valid &= good
    rows = np.flatnonzero(valid)
    all_valid = len(rows) == batch.num_rows

    def pick(values: Values) -> Values:
        return values if all_valid else values[rows]

    def pick_lists(values: Values, starts: Rows) -> Values:
        return values if all_valid else take_lists(values, starts, rows)

    windows = WindowBatch(
        series={name: pick(values) for name, values in series.items()},
        end_us=ends if all_valid else ends[rows],
        lengths=lengths if all_valid else lengths[rows],
        past={name: pick_lists(*lists) for name, lists in past.items()},
        future={name: pick_lists(*lists).reshape(len(rows), contract.horizon) for name, lists in future.items()},
        static={name: pick(values) for name, values in static.items()},
    )
    return ArrowWindows(
        windows=windows,
        rows=rows,
        bad=tuple(_explain(batch, int(row), contract) for row in explained(np.flatnonzero(~valid))),
        ignored_columns=_ignored(batch.schema, contract) * len(rows),
    )


def _parts(contract: InputContract) -> dict[str, list[str]]:
    """Return the columns of each part of a window, without parts that have none."""
    names = {
        "series": [identity.name for identity in contract.series],
        "past": [column.name for column in contract.past],
        "future": [column.name for column in contract.future],
        "static": [column.name for column in contract.static],
    }
    return {part: columns for part, columns in names.items() if columns}


def _fields(batch: pa.RecordBatch, part: str, names: Sequence[str]) -> dict[str, Any]:
    struct = batch.column(part)
    arrays = struct.flatten()  # with the nulls of the struct itself
    return {name: arrays[struct.type.get_field_index(name)] for name in names}


def _ignored(schema: pa.Schema, contract: InputContract) -> int:
    return sum(schema.field(part).type.num_fields - len(names) for part, names in _parts(contract).items())


def _read_lists(
    arrays: Mapping[str, Any], columns: Sequence[Column], rows: int, *, allows_gaps: bool = False
) -> tuple[dict[str, tuple[Values, Rows]], Mask]:
    """Return each column's elements and where its lists begin, and (n,) which rows have only valid lists."""
    lists: dict[str, tuple[Values, Rows]] = {}
    valid = np.ones(rows, np.bool_)
    read = {column.name: read_lists(arrays[column.name]) for column in columns}
    gaps = find_gaps([(elements, starts) for elements, starts, _ in read.values()]) if allows_gaps else None
    for number, column in enumerate(columns):
        elements, starts, there = read[column.name]
        values, good = read_elements(elements, column)
        lists[column.name] = values, starts
        valid &= there & all_of_row(good if gaps is None else good | gaps[number], starts)
    return lists, valid


def _explain(batch: pa.RecordBatch, row: int, contract: InputContract) -> Fault:
    """Find a row's fault by the exact check of the JSON codec, so that reasons mean the same in every format."""
    document: Document = {"end": _as_written(batch.column("end"), row)}
    for part, names in _parts(contract).items():
        fields = _fields(batch.slice(row, 1), part, names)
        there = batch.column(part)[row].is_valid
        document[part] = {name: array[0].as_py() for name, array in fields.items()} if there else None
    reason, detail = next(find_faults(document, contract), ("columns", "the row does not fit the input contract"))
    return Fault(row=row, reason=reason, detail=detail)


def _as_written(ends: Any, row: int) -> str | int | None:
    ticks: int | None = ends.cast(pa.int64())[row].as_py()
    if ticks is None or not pa.types.is_timestamp(ends.type):
        return ticks
    return f"{np.datetime_as_string(np.datetime64(ticks, ends.type.unit))}Z"
