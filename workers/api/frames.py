"""Convert tables of windows to the nested Arrow form of the input contract.

In: a pandas, polars or Arrow table, one row a window, nested as in `undertow describe` or flat. Out: a nested Arrow
table. Knows no model.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from undertow.core.errors import Refused
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import InputContract
from undertow.schemas.windows_arrow import window_schema

PARTS = ("series", "past", "future", "static")
_UNFIT = (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError)
"""What pyarrow raises for cells that fit no column."""


def table_of(frame: Any, contract: InputContract) -> pa.Table:
    """Return a frame's windows as a nested table. Raises `Refused` if it is not a table of such windows.

    A flat table has a column for each id, `end`, and a column for each input, with lists for inputs that change over
    time. An input known ahead has two columns, `past.NAME` and `future.NAME`.
    """
    table = _arrow(frame, contract)
    if not table.num_rows:
        return window_schema(contract).empty_table()
    nested = table if {"series", "past"} & set(table.column_names) else _nest(table, contract)
    if schema_fault(nested.schema, contract) is not None:
        nested = _type_nulls(nested, window_schema(contract))
    if (fault := schema_fault(nested.schema, contract)) is not None:
        given = ", ".join(map(str, getattr(frame, "columns", table.column_names)))
        index = [name for name in getattr(getattr(frame, "index", None), "names", ()) if name is not None]
        hint = f"; {', '.join(index)} is the index: reset_index() makes it a column" if index else ""
        message = f"{fault[1]}; columns given: {given}{hint} (undertow describe shows an example)"
        raise Refused(message)
    return nested


def _type_nulls(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give columns of nothing but nulls the types of windows.

    Arrow knows no type for them. So a row without numbers would be refused with its table where it is alone, and by
    itself among others.
    """
    known = {field.name: field.type for field in schema}
    columns = {
        name: _type_null(_whole(table[name]), known[name]) if name in known else table[name]
        for name in table.column_names
    }
    return pa.table(columns)


def _type_null(cells: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_null(cells.type):
        return pa.nulls(len(cells), wanted)
    if pa.types.is_list(cells.type) and pa.types.is_null(cells.type.value_type) and pa.types.is_list(wanted):
        return cells.cast(wanted)
    if not (pa.types.is_struct(cells.type) and pa.types.is_struct(wanted)):
        return cells
    known = {field.name: field.type for field in wanted}
    names = [field.name for field in cells.type]
    inside = [
        _type_null(cells.field(place), known[name]) if name in known else cells.field(place)
        for place, name in enumerate(names)
    ]
    return pa.StructArray.from_arrays(inside, names=names, mask=cells.is_null())


def _arrow(frame: Any, contract: InputContract) -> pa.Table:
    """Convert anything with the Arrow PyCapsule interface: pandas, polars, pyarrow, DuckDB, ..."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas' export would add the index as a column
        return _from_pandas(frame, contract)
    if hasattr(frame, "__arrow_c_stream__"):
        try:
            return pa.table(frame)
        except Exception as error:  # whatever a foreign export raises
            message = f"{type(frame).__name__} exports no Arrow table: {type(error).__name__}: {error}"
            raise Refused(message) from error
    message = f"expected a table of windows (pandas, polars, pyarrow) or a WindowBatch, found {type(frame).__name__}"
    raise Refused(message)


def _from_pandas(frame: Any, contract: InputContract) -> pa.Table:
    """Convert only the columns that a window has, since others may hold anything."""
    inside = {f"{part}.{column.name}" for part in PARTS for column in getattr(contract, part)}
    wanted = {"end", *PARTS, *inside, *(name.partition(".")[2] for name in inside)}
    columns: dict[str, Any] = {}
    for place, name in enumerate(frame.columns):
        if name not in wanted:
            continue
        if name in columns:
            message = f"the DataFrame has two columns named {name}"
            raise Refused(message)
        columns[name] = _column(name, frame.iloc[:, place])
    return pa.table(columns) if columns else pa.table({"nothing": pa.nulls(len(frame))})


def _column(name: str, cells: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(cells)
    except _UNFIT as error:
        row = next((row for row, cell in enumerate(cells) if not _is_fit(cell)), None)
        where = "" if row is None else f", the first such in row {row}"
        message = (
            f"the column {name} has cells that are no numbers, texts, times or lists of these, or cells of several "
            f"kinds{where}: {type(error).__name__}: {str(error)[:200]}"
        )
        raise Refused(message) from error


def _is_fit(cell: Any) -> bool:
    try:
        pa.array([cell], from_pandas=True)
    except _UNFIT:
        return False
    return True


def _nest(table: pa.Table, contract: InputContract) -> pa.Table:
    wanted = {part: [column.name for column in getattr(contract, part)] for part in PARTS}
    columns: dict[str, Any] = {}
    if "end" in table.column_names:
        columns["end"] = table["end"]
    for part, names in wanted.items():
        others = {name for other, inside in wanted.items() if other != part for name in inside}
        found = {name: table[place] for name in names if (place := _place(table, part, name, others)) is not None}
        if found:
            columns[part] = _struct(found)
    return pa.table(columns)


def _place(table: pa.Table, part: str, name: str, others: Iterable[str]) -> str | None:
    """Return the name of an input's column: `part.NAME`, or `NAME` if no other part has an input of that name."""
    if (full := f"{part}.{name}") in table.column_names:
        return full
    return name if name in table.column_names and name not in others else None


def _struct(columns: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    return pa.StructArray.from_arrays([_whole(column) for column in columns.values()], names=list(columns))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
