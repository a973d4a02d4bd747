"""Which rows of the log's files are of given series: by the statistics of row groups first, then by the ids.

In: ids, paths. Out: how many rows, of which series. Changes nothing. Knows neither chains nor the table.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from undertow.adapters.offline_advice import alien
from undertow.adapters.offline_parts import read_part, translated
from undertow.adapters.offline_seal import is_sealed, read_tail
from undertow.schemas.spaces import SpaceView
from undertow.schemas.windows import Values
from undertow.storage.object_reader import READ_AHEAD
from undertow.storage.store_path import AnyPath

NUMBER = "__number"


@dataclass(frozen=True, kw_only=True, eq=False)
class WantedSeries:
    """Series by their ids."""

    ids: pa.Table
    """A column for each id, as in the log: strings or 64-bit integers, without nulls; each series once."""

    @property
    def names(self) -> list[str]:
        """The id columns."""
        return list(self.ids.column_names)

    def columns_of(self, view: SpaceView) -> dict[str, Values]:
        """Return the ids as arrays, (n,) int64 or object of str, in the order of the view's."""
        return {
            column.name: self.ids[column.name].to_numpy().astype(object if column.type == "string" else np.int64)
            for column in view.series
        }

    def found_in(self, path: AnyPath, size: int | None = None) -> pa.Table:
        """Return the ids of the file's rows of these series, a row for each. Raises `Refused`, `Unavailable`.

        `size` is an object's, in bytes, where a listing told it: that spares a request.

        Only the ids are read, and only of row groups that the statistics do not rule out. Then the file's seal is
        checked, too, but for a large object: of that, Parquet's checksums of the pages that were read.
        """
        with translated(path), path.open("rb") if isinstance(path, Path) else path.open("rb", size) as file:
            tail = read_tail(file)
            footer = pq.read_metadata(pa.BufferReader(tail.footer))
            if footer.num_rows == 0:
                return self.ids.slice(0, 0)
            places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
            if not {*self.names} <= {*places}:
                raise alien(path)
            groups = [number for number in range(footer.num_row_groups) if self._may_be_in(footer, number, places)]
            if not groups:
                return self.ids.slice(0, 0)
            if isinstance(path, Path) or tail.body < READ_AHEAD:
                is_sealed(file)
            # Several files at once keep the processors busy as it is.
            parquet = pq.ParquetFile(file, metadata=footer, page_checksum_verification=True)
            rows = self._typed(parquet.read_row_groups(groups, self.names, use_threads=False))
        return rows.filter(pa.array(self.mask(rows)))

    def mask(self, rows: pa.Table) -> Any:
        """Return which rows are of these series."""
        ids = self._typed(rows)
        each = (pc.is_in(ids[name], value_set=self._values[name]).to_numpy() for name in self.names)
        mask = reduce(np.logical_and, each)
        if len(self.names) > 1 and mask.any():  # each id is one of some series, but of which?
            numbered = ids.append_column(NUMBER, pa.array(np.arange(len(ids)))).filter(pa.array(mask))
            found = numbered.join(self.ids, self.names, join_type="left semi")[NUMBER].to_numpy()
            mask = np.zeros(len(ids), bool)
            mask[found] = True
        return mask

    def without(self, rows: pa.Table) -> pa.Table:
        """Return the rows of other series."""
        return rows.filter(pa.array(~self.mask(rows)))

    def _typed(self, rows: pa.Table) -> pa.Table:
        return rows.select(self.names).replace_schema_metadata().cast(self.ids.schema)

    @cached_property
    def _sorted(self) -> dict[str, list[Any]]:
        return {name: sorted(set(self.ids[name].to_pylist())) for name in self.names}

    @cached_property
    def _values(self) -> dict[str, Any]:
        return {name: self.ids[name].combine_chunks() for name in self.names}

    def _may_be_in(self, footer: Any, group: int, places: Mapping[str, int]) -> bool:
        columns = footer.row_group(group)
        return all(_overlaps(columns.column(places[name]).statistics, self._sorted[name]) for name in self.names)


def read_all(path: AnyPath) -> pa.Table:
    """Return all rows of a file, without what it says beside them. Raises `Refused`, `Unavailable`."""
    return read_part(path, None).replace_schema_metadata()


def _overlaps(statistics: Any, wanted: list[Any]) -> bool:
    """Whether any wanted value may be in a column of a row group. Python orders texts as Parquet does its UTF-8."""
    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, type(wanted[0])):
        return True
    place = bisect_left(wanted, statistics.min)
    return place < len(wanted) and wanted[place] <= statistics.max
