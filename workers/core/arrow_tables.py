"""Any table that Python programs hold, as an Arrow table.

In: pandas, polars, pyarrow, DuckDB or anything with the Arrow PyCapsule interface. Out: an Arrow table. Imports none of
these but pyarrow, and knows no column.
"""

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from undertow.core.errors import Refused

_UNFIT = (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError)
"""What pyarrow raises for cells that fit no column."""


def arrow_table(frame: Any, wanted: Collection[str], expected: str, *, keep_names: bool = False) -> pa.Table:
    """Return the table. Of pandas' columns only those `wanted` are converted, since others may hold anything.

    With `keep_names` the others are there, too, as nulls, so that who misses a column can say which there are. Raises
    `Refused` if it is no table, which `expected` describes.
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas' export would add the index as a column
        return _from_pandas(frame, wanted, keep_names=keep_names)
    if hasattr(frame, "__arrow_c_stream__"):
        try:
            return pa.table(frame)
        except Exception as error:  # whatever a foreign export raises
            message = f"{type(frame).__name__} exports no Arrow table: {type(error).__name__}: {error}"
            raise Refused(message) from error
    message = f"expected {expected}, found {type(frame).__name__}"
    raise Refused(message)


def _from_pandas(frame: Any, wanted: Collection[str], *, keep_names: bool) -> pa.Table:
    columns: dict[str, Any] = {}
    for place, name in enumerate(frame.columns):
        if name not in wanted:
            if keep_names and isinstance(name, str):
                columns.setdefault(name, pa.nulls(len(frame)))
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
