"""Query the offline log with DuckDB: vectors as of a time, the newest of each series, the gaps between windows.

In: part files, and how much memory they may take. Out: Arrow batches, numpy arrays. What does not fit into memory
goes to a folder for spilling. Knows neither models nor online stores, nor where a space's parts lie.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.adapters.duckdb_texts import first_line, quoted
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP, ORIGIN_OFFSET, ORIGIN_PARTITION

ROW, EVENT_US, CREATED_US, AGE_US = "__row", "__event_us", "__created_us", "__age_us"
ROWS, SAME = "__rows", "__same"
"""Columns of questions and answers. No id and no feature begins with an underscore."""


class LogQuery:
    """Queries on the parts of one space. Of rows of the same series and event time, the one delivered last counts.

    That is the one with the greatest `created` (`undertow.stream.order`). Parts of earlier versions have the same
    `created` in all rows; there the greatest partition and offset count, then the order of the files.
    """

    def __init__(self, connection: Any, files: Sequence[Path], ids: Sequence[str], features: Sequence[str]) -> None:
        self._connection = connection
        self._files = [str(path) for path in files]
        self._ids = [quoted(name) for name in ids]
        self._features = ", ".join(f"v.{quoted(name)}" for name in features)

    def as_of(self, asked: Iterable[pa.Table], *, tolerance_us: int | None, batch_rows: int) -> Iterator[Any]:
        """Return the newest vectors at or before the time of each row in `asked`, in any order.

        `asked` has `__row` (int64), the ids as in the log, and `__event_us` (int64), without nulls; there is at least
        one table. The result's batches have `__row`, `__age_us` (how much older the vectors are) and the features; rows
        for which nothing was found are left out.
        """
        ids = ", ".join(self._ids)
        same = " AND ".join(f"a.{name} = n.{name}" for name in self._ids)
        near = "" if tolerance_us is None else f" WHERE a.{EVENT_US} - n.{EVENT_US} <= {tolerance_us:d}"
        for number, table in enumerate(asked):
            with self._translated():
                self._connection.register("given", table)
                begin = "INSERT INTO asked" if number else "CREATE OR REPLACE TEMP TABLE asked AS"
                self._connection.execute(f"{begin} SELECT * FROM given")
                self._connection.unregister("given")
        with self._translated():
            self._run(
                f"CREATE OR REPLACE TEMP TABLE kept AS SELECT {ids}, {EVENT_US}, max(place) AS place "
                f"FROM ({self._rows()}) SEMI JOIN (SELECT DISTINCT {ids} FROM asked) USING ({ids}) GROUP BY ALL"
            )
            self._connection.execute(
                "CREATE OR REPLACE TEMP TABLE places AS "
                f"SELECT a.{ROW}, a.{EVENT_US} - n.{EVENT_US} AS {AGE_US}, n.place "
                f"FROM asked a ASOF JOIN kept n ON {same} AND a.{EVENT_US} >= n.{EVENT_US}{near}"
            )
            self._connection.execute("DROP TABLE kept; DROP TABLE asked")
        yield from self._vectors(f"p.{ROW}, p.{AGE_US}", batch_rows)

    def find_newest(self, *, delivered_by_us: int | None = None) -> int:
        """Find the newest row of each series; return how many there are. `newest` then returns the rows.

        Rows delivered after `delivered_by_us` (microseconds since the epoch) do not count.
        """
        ids = ", ".join(self._ids)
        early = "" if delivered_by_us is None else f" WHERE place.created <= {delivered_by_us:d}"
        with self._translated():
            self._run(
                f"CREATE OR REPLACE TEMP TABLE places AS SELECT newest.{EVENT_US} AS {EVENT_US}, newest.place AS place "
                f"FROM (SELECT max({{'{EVENT_US}': {EVENT_US}, 'place': place}}) AS newest "
                f"FROM ({self._rows()}){early} GROUP BY {ids})"
            )
            ((count,),) = self._connection.execute("SELECT count(*) FROM places").fetchall()
            return int(count)

    def newest(self, batch_rows: int) -> Iterator[Any]:
        """Return the newest row of each series: batches of the ids, `__event_us`, `__created_us` and the features.

        They come in any order.
        """
        ids = ", ".join(f"v.{name}" for name in self._ids)
        yield from self._vectors(f"{ids}, p.{EVENT_US}, p.place.created AS {CREATED_US}", batch_rows)

    def known(self, batch_rows: int) -> Iterator[Any]:
        """Return each series once, the ones whose windows end latest first.

        The batches have the ids, `__event_us` and `__created_us` (the greatest of each), and `__rows` (int64).
        """
        ids = ", ".join(self._ids)
        with self._translated():
            known = self._connection.sql(
                f"SELECT {ids}, max({EVENT_US}) AS {EVENT_US}, max(place.created) AS {CREATED_US}, count(*) AS {ROWS} "
                f"FROM ({self._rows()}) GROUP BY ALL ORDER BY {EVENT_US} DESC, {ids}",
                params={"files": self._files},
            )
            yield from known.to_arrow_reader(batch_rows)

    def gaps(self, series: int) -> NDArray[np.int64]:
        """Return the microseconds between consecutive windows, in a sample of `series` series, in any order."""
        ids = ", ".join(self._ids)
        with self._translated():
            # A random sample by a hash, but the same in every run.
            self._run(
                f"CREATE OR REPLACE TEMP TABLE sample AS SELECT DISTINCT {ids} FROM ({self._rows()}) "
                f"ORDER BY hash({ids}) LIMIT {series:d}"
            )
            found = self._run(
                f"SELECT {EVENT_US} - lag({EVENT_US}) OVER (PARTITION BY {ids} ORDER BY {EVENT_US}) AS gap "
                f"FROM (SELECT DISTINCT {ids}, {EVENT_US} FROM ({self._rows()}) SEMI JOIN sample USING ({ids})) "
                "QUALIFY gap IS NOT NULL"
            ).fetchnumpy()["gap"]
        gaps: NDArray[np.int64] = np.asarray(found, np.int64)
        return gaps

    def _rows(self) -> str:
        """Return the SQL of all rows: ids, event time, and the place in the order of delivery and in the files."""
        place = (
            f"{{'created': epoch_us({CREATED}), 'partition': coalesce({ORIGIN_PARTITION}, -1), "
            f"'offset': coalesce({ORIGIN_OFFSET}, -1), 'file': file_index, 'number': file_row_number, "
            f"'row': {self._row_hash('')}}}"
        )
        return (
            f"SELECT {', '.join(self._ids)}, epoch_us({EVENT_TIMESTAMP}) AS {EVENT_US}, {place} AS place "
            "FROM read_parquet($files, hive_partitioning = false)"
        )

    def _row_hash(self, table: str) -> str:
        """Return the SQL of a hash by which a row is known again."""
        ids = ", ".join(f"{table}{name}" for name in self._ids)
        return f"hash({ids}, epoch_us({table}{EVENT_TIMESTAMP}), epoch_us({table}{CREATED}))"

    def _vectors(self, columns: str, batch_rows: int) -> Iterator[Any]:
        """Return the rows at `places`. Raises `Unavailable` where a file was replaced since these were found.

        `undertow forget` rewrites parts under their names, where other rows have the same numbers then.
        """
        with self._translated():
            ((left,),) = self._connection.execute("SELECT count(*) FROM places").fetchall()
            found = self._connection.sql(
                f"SELECT {columns}, {self._features}, p.place.row = {self._row_hash('v.')} AS {SAME} FROM places p "
                "JOIN read_parquet($files, hive_partitioning = false) v "
                "ON p.place.file = v.file_index AND p.place.number = v.file_row_number",
                params={"files": self._files},
            )
            for batch in found.to_arrow_reader(batch_rows):
                _require_same(pc.all(batch[SAME]).as_py() is not False)
                left -= len(batch)
                yield batch.drop_columns([SAME])
            _require_same(left == 0)

    def _run(self, statement: str) -> Any:
        return self._connection.execute(statement, {"files": self._files})

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            message = (
                f"DuckDB needs more memory or more room to spill ({first_line(error)}); raise "
                "offline.read_memory_bytes, or free space on that disk"
            )
            raise Refused(message) from error
        except duckdb.IOException as error:
            message = f"the offline log could not be read: {first_line(error)}"
            raise Unavailable(message) from error
        except duckdb.Error as error:
            message = f"the offline log cannot be read: {type(error).__name__}: {first_line(error)}"
            raise Refused(message) from error


@contextlib.contextmanager
def open_query(
    files: Sequence[Path], ids: Sequence[str], features: Sequence[str], *, memory_bytes: int, spill: Path
) -> Iterator[LogQuery]:
    """Open DuckDB over these parts. It uses at most `memory_bytes` of memory, and spills more to the folder `spill`."""
    options = {
        "memory_limit": f"{memory_bytes}B",
        "temp_directory": str(spill),
        "preserve_insertion_order": False,  # not needed, and takes more memory
    }
    connection = duckdb.connect(config=options)
    try:
        yield LogQuery(connection, files, ids, features)
    finally:
        connection.close()


def _require_same(is_same: bool) -> None:  # noqa: FBT001 - what is required
    if not is_same:
        message = "the offline log could not be read: a file of it was rewritten meanwhile; it will be tried again"
        raise Unavailable(message)
