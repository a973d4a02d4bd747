"""The rows to join: a user's Parquet file, with ids and times converted to those of the log.

In: a Parquet file with id columns and a time. Out: its batches unchanged, and the columns for DuckDB's query. Knows no
log.

Times are compared in microseconds, UTC, as in the log. Nanoseconds are rounded down, which finds the same vectors,
since those have whole microseconds. A time without a zone is UTC, as in Feast. A row with a null in its time or an id
finds nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from undertow.adapters.offline_query import EVENT_US, ROW
from undertow.core.errors import Refused
from undertow.schemas.lookalikes import looks_misspelt

NANOS = 1_000
UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
BATCH_ROWS = 65_536


class EntityRows:
    """The rows of a file. It is read twice: ids and times for the query, all columns for the output."""

    def __init__(self, path: Path, *, ids: Mapping[str, str], time: str) -> None:
        """`ids` maps each id column to "string" or "integer". Raises `Refused` for missing columns or wrong types."""
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                self.schema, self._rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            message = f"{path} is no readable Parquet file: {error}"
            raise Refused(message) from error
        self._path, self.ids, self._time = path, ids, time
        names = self.schema.names
        if missing := [name for name in (*ids, time) if name not in names]:
            found = ", ".join(names) or "no column"
            found += "".join(looks_misspelt(name, names, (*ids, time)) for name in missing)
            message = (
                f"expected in {path} the ids {', '.join(ids)} and the time {time} (another column: --time NAME); "
                f"without {', '.join(missing)}, found {found}"
            )
            raise Refused(message)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"{path} has two columns of one name: {', '.join(twice)}"
            raise Refused(message)
        for name in (*ids, time):
            self._check(name)

    def __len__(self) -> int:
        return int(self._rows)

    def batches(self, rows: int) -> Iterator[Any]:
        """Return the file's batches, in order and with all columns."""
        yield from self._read(rows, None)

    def questions(self) -> Iterator[pa.Table]:
        """Return the query's tables: `__row`, the ids, `__event_us`; rows with a null in these are left out."""
        names, first = [ROW, *self.ids, EVENT_US], 0
        for batch in self._read(BATCH_ROWS, [*self.ids, self._time]):
            columns = [self._id(batch, name, kind) for name, kind in self.ids.items()]
            columns = [pa.array(np.arange(first, first + len(batch))), *columns, self._event_us(batch)]
            first += len(batch)
            yield pa.Table.from_arrays(columns, names=names).drop_null()

    def _read(self, rows: int, columns: list[str] | None) -> Iterator[Any]:
        # A file of its own, since iterations over the same ParquetFile share the size of their batches.
        with pq.ParquetFile(self._path, pre_buffer=False, page_checksum_verification=True) as file:
            yield from file.iter_batches(rows, columns=columns)

    def _check(self, name: str) -> None:
        kind = self.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if name == self._time:
            expected, is_fit = "a timestamp", pa.types.is_timestamp(kind)
        elif self.ids[name] == "string":
            is_fit = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
            expected = "strings"
        else:
            # Floats are accepted, since pandas turns integers into floats if one is missing.
            expected, is_fit = "integers", pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not is_fit and not pa.types.is_null(kind):
            message = f"expected {expected} in the column {name} of {self._path}, found {kind}"
            raise Refused(message)

    def _id(self, batch: Any, name: str, kind: str) -> Any:
        column = batch.column(batch.schema.names.index(name))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if kind == "string":
            return column.cast(pa.string())
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            message = f"expected integers of 64 bits in the column {name} of {self._path}: {error}"
            raise Refused(message) from error

    def _event_us(self, batch: Any) -> Any:
        column = batch.column(batch.schema.names.index(self._time))
        if pa.types.is_null(column.type):
            return pa.nulls(len(column), pa.int64())
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        unit, count = column.type.unit, column.cast(pa.int64())
        if unit == "ns":
            floored = np.floor_divide(count.fill_null(0).to_numpy(), NANOS)
            return pa.array(floored, mask=count.is_null().to_numpy(zero_copy_only=False))
        try:
            return pc.multiply_checked(count, UNITS[unit])
        except pa.ArrowInvalid as error:
            message = f"a time in the column {self._time} of {self._path} lies beyond the year 290,000: {error}"
            raise Refused(message) from error
