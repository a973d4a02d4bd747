"""Columns of a table, of the types that observations have.

In: an Arrow table. Out: arrays. Knows no value.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.types as is_a

from undertow.core.errors import Refused
from undertow.schemas.arrow_faults import element_test, element_words, is_integer, is_text
from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.lookalikes import looks_misspelt


@contextlib.contextmanager
def of_table(words: str, table: pa.Table) -> Iterator[None]:
    """Let a refusal say which of several tables is meant, and which columns it has."""
    try:
        yield
    except Refused as error:
        message = f"{words}: {error} (its columns: {', '.join(table.column_names)})"
        raise Refused(message) from None


def whole_column(table: pa.Table, name: str, hint: str = "") -> Any:
    """Return a column as one array. Raises `Refused` unless there is exactly one of the name.

    `hint` says where else it may be.
    """
    places = table.schema.get_all_field_indices(name)
    if len(places) != 1:
        found = f"{len(places)} of that name" if places else f"none{looks_misspelt(name, table.column_names)}{hint}"
        message = f"expected a column {name}, found {found}"
        raise Refused(message)
    column = table.column(places[0])
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def time_column(table: pa.Table, name: str) -> Any:
    """Return the column with the times. Raises `Refused` where it is missing."""
    return whole_column(table, name, "; windows.time names the column with the times")


def id_column(table: pa.Table, one: IdColumn) -> Any:
    """Return an id column. Raises `Refused` where it is missing or of another type."""
    array = whole_column(table, one.name)
    is_fit, words = (is_text, "strings") if one.type == "string" else (is_integer, "integers of 64 bits")
    if not is_fit(array.type) and not is_a.is_null(array.type):
        message = f"{one.name}: expected {words}, found {array.type}"
        raise Refused(message)
    return array


def value_column(table: pa.Table, column: Column, *, is_static: bool = False) -> Any:
    """Return a column of numbers or categories. Raises `Refused` where it is missing or of another type.

    What `is_static` may be in a table of its own.
    """
    hint = "; it is one value for each series: windows.static (static=) may name a table that has it"
    array = whole_column(table, column.name, hint if is_static else "")
    if not element_test(column)(array.type) and not is_a.is_null(array.type):
        hint = ", not taken for 0 and 1 (in pandas: astype(float))" if is_a.is_boolean(array.type) else ""
        message = f"{column.name}: expected {element_words(column)}, found {array.type}{hint}"
        raise Refused(message)
    return array
