"""Write embeddings online to Postgres, into the tables that Feast's own Postgres store makes and reads.

In: `EmbeddingBatch`es, and the `online_store` section of a Feast config. Out: the rows that stock Feast writes, one for
each feature of a series. Knows no Feast: it is never imported.

The newest event time wins, and of equal ones the row delivered last, compared by the statement that writes. No column
is ours: Feast's have microseconds, and the time of delivery is `created_ts`. It counts beside our mark in `value_text`,
which Feast leaves empty for vectors, and empties where it writes a row itself.

Feast searches all vectors of a table, whatever their feature, and pgvector compares none of different lengths. So
`vector_value` is filled for the features that are searched alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
import psycopg
from psycopg import Cursor, sql

from undertow.adapters import feast_bytes
from undertow.adapters.postgres_arrays import take_binary_arrays, times, vectors
from undertow.adapters.postgres_client import connect, place, translated
from undertow.adapters.postgres_ready import require_name
from undertow.adapters.postgres_tally import PostgresTally
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.windows import Values
from undertow.stream.store_tally import OnLoss, TallyChecker

MARK = "undertow"
FORGET_KEYS = 1000
"""Keys of one statement that deletes. A choice."""

T = TypeVar("T")


class PostgresOnline:
    """An `OnlineSink` for `type: postgres`. Many processes may write to one table; one thread of each at a time."""

    def __init__(
        self,
        *,
        options: Mapping[str, Any],
        project: str,
        view: str,
        searched: Sequence[str] = (),
        on_loss: OnLoss | None = None,
    ) -> None:
        """Take the settings; connect at first use.

        `options`: Feast's `online_store` section. `project`: Feast's project. `view`: the view's name in the store.
        `searched`: the features that pgvector searches.
        `on_loss`: called if the table has lost written data (`undertow.stream.store_tally`). If given, a table that
        was there before and is gone raises `Unavailable`.
        """
        self._options, self._view = options, view
        self._table = f"{project}_{view}"
        self._searched = frozenset(searched) if options.get("vector_enabled") else frozenset()
        self._connection: psycopg.Connection | None = None
        self._vector: tuple[str, int] = ("", 0)  # the name and the number of pgvector's type
        self._was_there = False
        self._tally_checker = TallyChecker(on_loss) if on_loss else None

    def write(self, batch: EmbeddingBatch) -> int:
        """Write the rows that are newer than those in the table, all or none; see `OnlineSink`."""
        keys = feast_bytes.entity_keys(batch.series)
        if len(set(keys)) < len(keys):
            batch = batch.newest_per_series()
            keys = feast_bytes.entity_keys(batch.series)
        if not keys:
            return 0
        order = sorted(range(len(keys)), key=keys.__getitem__)  # two writers lock rows in one order: no deadlock
        batch, keys = batch.take(np.array(order, np.int64)), [keys[row] for row in order]
        tally = self._tally(self._tally_checker.name) if self._tally_checker else None

        def put(cursor: Cursor) -> tuple[int, Any]:
            written = self._put(cursor, keys, batch)
            return written, tally.count(cursor) if tally else None

        written, found = self._run(put)
        if self._tally_checker and tally:
            self._tally_checker.judge(found, tally, has_written=True)  # after the commit: a count undone is no loss
        return written

    def look(self) -> None:
        """Call `on_loss` if the table has lost written data."""
        if self._tally_checker is not None:
            tally = self._tally(self._tally_checker.name)
            self._tally_checker.judge(tally.read(), tally, has_written=False)

    def restored(self, claim: str) -> None:
        """Mark the loss of this claim as restored."""
        self._tally("").restored(claim)

    def count_held(self, series: Mapping[str, Values]) -> int:
        """Return how many of these series have values of this view."""
        return self._run_each("SELECT count(DISTINCT entity_key) FROM {} WHERE entity_key = ANY(%s)", series)

    def forget(self, series: Mapping[str, Values]) -> int:
        """Delete the values of these series, all at once; return how many had any.

        The tally counts writes, so nobody takes this for a loss. Their bytes stay on the server's disk until it
        vacuums the table and recycles its write-ahead log.
        """
        return self._run_each(
            "WITH gone AS (DELETE FROM {} WHERE entity_key = ANY(%s) RETURNING entity_key) "
            "SELECT count(DISTINCT entity_key) FROM gone",
            series,
        )

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as can be seen without one."""
        self._run(lambda cursor: cursor.execute("SELECT"))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _put(self, cursor: Cursor, keys: Sequence[bytes], batch: EmbeddingBatch) -> int:
        event, created, written = times(batch.event_us), times(batch.created_us), 0
        for feature, rows in batch.features.items():
            given = {"keys": keys, "feature": feature, "mark": MARK, "event": event, "created": created}
            given["values"] = feast_bytes.float_lists(rows)
            kind, number = self._vector
            if feature in self._searched:
                given["vectors"] = vectors(rows, number)
            cursor.execute(_upsert(self._table, kind if feature in self._searched else ""), given)
            written = cursor.rowcount
        return written

    def _run_each(self, statement: str, series: Mapping[str, Values]) -> int:
        keys = feast_bytes.entity_keys(series)
        query = sql.SQL(statement).format(sql.Identifier(self._table))

        def run(cursor: Cursor) -> int:
            found = 0
            for first in range(0, len(keys), FORGET_KEYS):
                cursor.execute(query, (sorted(keys[first : first + FORGET_KEYS]),))
                found += (cursor.fetchone() or (0,))[0]
            return found

        return self._run(run)

    def _run(self, work: Callable[[Cursor], T]) -> T:
        """Do this in one transaction; where the connection was closed since the last one, connect and do it again."""
        with translated(self._options, f"write view {self._view}"):
            kept = self._connection
            try:
                return self._do(work)
            except psycopg.Error as error:
                was_closed = kept is not None and kept.closed
                self.close()  # what it was prepared for may have changed
                if isinstance(error, psycopg.errors.UndefinedTable):  # Feast has dropped it meanwhile
                    self._refuse_missing()
                if not was_closed:
                    raise
            return self._do(work)

    def _do(self, work: Callable[[Cursor], T]) -> T:
        connection = self._open()
        with connection.transaction(), connection.cursor() as cursor:
            return work(cursor)

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._options)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._was_there = connection, True
        return self._connection

    def _prepare(self, connection: psycopg.Connection) -> None:
        require_name(self._table)
        take_binary_arrays(connection)
        with connection.cursor() as cursor:
            cursor.execute(
                # Off, a crash of the server takes the last commits with it.
                "SELECT set_config(name, 'on', false) FROM pg_settings "
                "WHERE name = 'synchronous_commit' AND setting = 'off'"
            )
            cursor.execute(
                "SELECT typname, format_type(t.oid, NULL), t.oid FROM pg_attribute a JOIN pg_type t "
                "ON t.oid = a.atttypid WHERE attrelid = to_regclass(quote_ident(%s)) AND attname = 'vector_value'",
                (self._table,),
            )
            kind, *vector = cursor.fetchone() or self._refuse_missing()
            if self._searched and kind != "vector":
                message = (
                    f"{place(self._options)}: expected vectors of pgvector in vector_value of the table {self._table}, "
                    f"since the config says vector_enabled, found {kind}: it was made without. Drop it there (DROP "
                    "TABLE), then run: undertow apply, undertow rebuild"
                )
                raise Refused(message)
            self._vector = (vector[0], vector[1])
            self._require_rights(cursor)
            if self._tally_checker is not None:
                self._tally("").expire(cursor)

    def _require_rights(self, cursor: Cursor) -> None:
        cursor.execute(
            "SELECT current_setting('transaction_read_only')::bool, right_name, "
            "has_table_privilege(to_regclass(quote_ident(%s)), right_name) "
            "FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_name",
            (self._table,),
        )
        rows = cursor.fetchall()
        if rows[0][0]:
            message = f"{place(self._options)} takes no writes now: it is a standby, or read-only"
            raise Unavailable(message)
        if missing := [name for _, name, is_given in rows if not is_given]:
            message = (
                f"{place(self._options)}: the user {self._options.get('user')} has no right to {', '.join(missing)} "
                f'there: GRANT {", ".join(missing)} ON "{self._table}" TO "{self._options.get("user")}"'
            )
            raise Refused(message)

    def _tally(self, writer: str) -> PostgresTally:
        return PostgresTally(self._run, self._table, writer)

    def _refuse_missing(self) -> NoReturn:
        message = (
            f"expected the table {self._table} that Feast makes in {place(self._options)}, found none; "
            "run: undertow apply"
        )
        was_there = self._tally_checker is not None and self._was_there
        raise (Unavailable if was_there else Refused)(message)


def _upsert(table: str, vector: str) -> sql.Composed:
    """Return the statement that writes one feature of n series; `vector` is pgvector's type where it is searched."""
    return sql.SQL(
        "INSERT INTO {table} AS held (entity_key, feature_name, value, value_text, event_ts, created_ts, vector_value) "
        "SELECT r.k, %(feature)s, r.v, %(mark)s, r.e, r.c, {of_row} FROM unnest(%(keys)s::bytea[], "
        "%(values)s::bytea[], %(event)s::timestamptz[], %(created)s::timestamptz[]{array}) AS r(k, v, e, c{name}) "
        "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, "
        "value_text = excluded.value_text, created_ts = excluded.created_ts, vector_value = excluded.vector_value "
        "WHERE (excluded.event_ts, excluded.created_ts) > (coalesce(held.event_ts, '-infinity'), "
        "CASE WHEN held.value_text = %(mark)s THEN held.created_ts ELSE '-infinity' END)"
    ).format(
        table=sql.Identifier(table),
        of_row=sql.SQL("r.x" if vector else "NULL"),
        name=sql.SQL(", x" if vector else ""),
        # The server has quoted the name.
        array=sql.SQL(f", %(vectors)s::{vector}[]" if vector else ""),
    )
