"""Convert tables of windows to the nested Arrow form of the input contract.

In: a table, one row a window, nested as in `undertow describe` or flat. Out: a nested Arrow table. Knows no model.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from undertow.core.arrow_tables import arrow_table
from undertow.core.errors import Refused
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import InputContract
from undertow.schemas.windows_arrow import window_schema

PARTS = ("series", "past", "future", "static")


def table_of(frame: Any, contract: InputContract) -> pa.Table:
    """Return a frame's windows as a nested table. Raises `Refused` if it is not a table of such windows.

    A flat table has a column for each id, `end`, and a column for each input, with lists for inputs that change over
    time. An input known ahead has two columns, `past.NAME` and `future.NAME`.
    """
    inside = {f"{part}.{column.name}" for part in PARTS for column in getattr(contract, part)}
    wanted = {"end", *PARTS, *inside, *(name.partition(".")[2] for name in inside)}
    table = arrow_table(frame, wanted, "a table of windows (pandas, polars, pyarrow) or a WindowBatch")
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
