"""Tables of windows as people have them, made what the wire contract says.

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


def table_of(frame: Any, contract: InputContract) -> pa.Table:
    """Return the windows of a frame, nested. Raises `Refused` for what is no table, or none of such windows.

    A flat table has a column for each id, `end`, and a column for each input: lists for what changes with time. Where
    an input is known ahead, `past.NAME` and `future.NAME` tell its two columns apart.
    """
    table = _arrow(frame)
    if not table.num_rows:
        return window_schema(contract).empty_table()
    nested = table if {"series", "past"} & set(table.column_names) else _nest(table, contract)
    if (fault := schema_fault(nested.schema, contract)) is not None:
        message = f"{fault[1]}; columns given: {', '.join(table.column_names)} (undertow describe shows an example)"
        raise Refused(message)
    return nested


def _arrow(frame: Any) -> pa.Table:
    """Take anything that hands out Arrow memory (the PyCapsule interface): pandas, polars, pyarrow, DuckDB, ..."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if hasattr(frame, "iloc"):  # a DataFrame of pandas: its own export would take the index for a column
        return _from_pandas(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    message = f"expected a table of windows (pandas, polars, pyarrow) or a WindowBatch, found {type(frame).__name__}"
    raise Refused(message)


def _from_pandas(frame: Any) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        message = f"the DataFrame has a column whose cells are of several types, or lists of several depths: {error}"
        raise Refused(message) from error


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
    """Return the column that holds an input: its full name, or its name where no other part has one of that name."""
    if (full := f"{part}.{name}") in table.column_names:
        return full
    return name if name in table.column_names and name not in others else None


def _struct(columns: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    return pa.StructArray.from_arrays([_whole(column) for column in columns.values()], names=list(columns))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
