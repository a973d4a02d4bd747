"""Read vectors from Postgres, a question in one transaction.

In: `Question`s. Out: `Answer`s, or `Unavailable` within the timeouts. Knows no Feast: it is never imported.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

import psycopg
from psycopg import Cursor, IsolationLevel, sql

from undertow.adapters.postgres_client import connect, place, translated
from undertow.adapters.postgres_served import TABLE
from undertow.adapters.postgres_tally import KEY
from undertow.core.errors import Unavailable
from undertow.schemas.lookups import Answer, Question, StoredRow, answer_of_rows
from undertow.schemas.served import ServedSpace

AWAY = "does not answer"

T = TypeVar("T")


class PostgresReads:
    """A `Lookups`: each thread that asks at the same time has a connection of its own."""

    def __init__(self, options: Mapping[str, Any], *, timeout_s: float) -> None:
        """Take Feast's `online_store` section; connect at the first question.

        `timeout_s`: how long connecting, and each answer, may take; connecting a second at least. One more try covers a
        connection closed while idle.
        """
        self._options, self._timeout_s = options, timeout_s
        self._idle: list[psycopg.Connection] = []
        self._lock = Lock()

    def ask(self, question: Question) -> Answer:
        """Ask in one transaction, so that the record and the vectors are of one moment."""

        def ask(cursor: Cursor) -> tuple[dict[str, str], dict[bytes, StoredRow]]:
            records = _records(cursor) if question.lists or question.record else {}
            return records, _rows(cursor, question) if question.space else {}

        records, rows = self._run(ask)
        return answer_of_rows(question, records, rows)

    def keys(self, project: str, space: ServedSpace) -> list[bytes]:
        """Read the keys of all rows of the space."""
        question = sql.SQL("SELECT DISTINCT entity_key FROM {} WHERE entity_key != %s").format(_table(project, space))
        return self._run(lambda cursor: [key for (key,) in cursor.execute(question, (KEY,))])

    def close(self) -> None:
        """Close the connections that nobody uses; the others are closed when their question is answered."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _run(self, work: Callable[[Cursor], T]) -> T:
        with translated(self._options, "read", away=AWAY):
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            try:
                if connection is not None:
                    try:
                        return self._do(connection, work)
                    except psycopg.OperationalError:
                        if not connection.closed:  # else it was closed while idle
                            raise
                return self._do(self._connect(), work)
            except psycopg.errors.UndefinedTable as error:  # Feast has dropped it
                message = f"{place(self._options)}: {error.diag.message_primary}; run: undertow apply"
                raise Unavailable(message) from None

    def _connect(self) -> psycopg.Connection:
        connection = connect(self._options, timeout_s=self._timeout_s)
        connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
        return connection

    def _do(self, connection: psycopg.Connection, work: Callable[[Cursor], T]) -> T:
        try:
            with connection.transaction(), connection.cursor(binary=True) as cursor:
                answer = work(cursor)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answer


def _records(cursor: Cursor) -> dict[str, str]:
    if cursor.execute("SELECT to_regclass(%s)::text", (TABLE,)).fetchall() == [(None,)]:
        return {}
    return dict(cursor.execute(sql.SQL("SELECT record, text FROM {}").format(sql.Identifier(TABLE))).fetchall())


def _rows(cursor: Cursor, question: Question) -> dict[bytes, StoredRow]:
    """Return event time and values by feature, by key."""
    assert question.space is not None  # noqa: S101 for the type checker
    statement = sql.SQL(
        "SELECT entity_key, feature_name, value, (extract(epoch FROM event_ts) * 1000000)::bigint FROM {} "
        "WHERE entity_key = ANY(%s) AND feature_name = ANY(%s)"
    ).format(_table(question.project, question.space))
    rows: dict[bytes, StoredRow] = {}
    for key, name, value, event_us in cursor.execute(statement, (list(question.keys), list(question.features))):
        rows.setdefault(key, (event_us, {}))[1][name] = value
    return rows


def _table(project: str, space: ServedSpace) -> sql.Identifier:
    return sql.Identifier(f"{project}_{space.online}")
