"""Which rows of the log's files are of given series: by the statistics of row groups first, then by the ids.

In: ids, paths. Out: how many rows, of which series. Changes nothing. Knows neither chains nor the table.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.offline_parts import read_part, translated
from undertow.adapters.offline_seal import read_tail
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

    def found_in(self, path: AnyPath) -> pa.Table:
        """Return the ids of the file's rows of these series, a row for each. Raises `Refused`, `Unavailable`.

        A file is read whole only where its statistics do not rule them out; then its seal is checked, too.
        """
        footer = _metadata(path)
        if footer.num_rows == 0 or not self._may_be_in(footer):
            return self.ids.slice(0, 0)
        rows = self._typed(read_part(path, self.names))
        return rows.filter(pa.array(self.mask(rows)))

    def mask(self, rows: pa.Table) -> Any:
        """Return which rows are of these series."""
        ids = self._typed(rows)
        numbered = ids.append_column(NUMBER, pa.array(np.arange(len(ids))))
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

    def _may_be_in(self, footer: Any) -> bool:
        places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
        if not {*self.names} <= {*places}:
            return True  # of another program: whoever reads it says so
        return any(
            all(
                _overlaps(footer.row_group(group).column(places[name]).statistics, self._sorted[name])
                for name in self.names
            )
            for group in range(footer.num_row_groups)
        )


def read_all(path: AnyPath) -> pa.Table:
    """Return all columns of a file, which are those of its own version. Raises `Refused`, `Unavailable`."""
    return read_part(path, _metadata(path).schema.to_arrow_schema().names).replace_schema_metadata()


def _metadata(path: AnyPath) -> Any:
    with translated(path), path.open("rb") as file:
        return pq.read_metadata(pa.BufferReader(read_tail(file).footer))


def _overlaps(statistics: Any, wanted: list[Any]) -> bool:
    """Whether any wanted value may be in a column of a row group. Python orders texts as Parquet does its UTF-8."""
    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, type(wanted[0])):
        return True
    place = bisect_left(wanted, statistics.min)
    return place < len(wanted) and wanted[place] <= statistics.max
