"""Read vectors from Feast's SQLite file, a question in one transaction.

In: `Question`s. Out: `Answer`s, or `Unavailable` within the timeout. Knows no Feast: it is never imported.

Where a row is ours, its event time is that of our column `event_us`, to the microsecond; Feast's own has seconds.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from undertow.adapters.online_sqlite import GUARD, WITNESS
from undertow.adapters.sqlite_served import TABLE
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.lookups import Answer, Question, StoredRow, answer_of_rows
from undertow.schemas.served import ServedSpace

CHUNK = 500
"""Keys of one statement. SQLite before 3.32 takes 999 variables."""


class SqliteReads:
    """A `Lookups`; one thread reads at a time, whichever it is."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        """Take the path; open the file at the first question. `timeout_s`: how long a question waits for writers."""
        self._path, self._timeout_s = path, timeout_s
        self._where = f"SQLite at {path} (online_store.path of the Feast config)"
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._lock = Lock()

    def ask(self, question: Question) -> Answer:
        """Ask in one transaction, so that the record and the vectors are of one moment."""
        with self._lock, self._translated(), _reading(self._open()) as connection:
            records = _records(connection) if question.lists or question.record else {}
            rows = _rows(connection, question) if question.space else {}
        return answer_of_rows(question, records, rows)

    def keys(self, project: str, space: ServedSpace) -> list[bytes]:
        """Read the keys of all rows of the space."""
        with self._lock, self._translated(), _reading(self._open()) as connection:
            rows = connection.execute(f"SELECT DISTINCT entity_key FROM {_table(project, space)}")  # noqa: S608 - quoted
            return [key for (key,) in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        try:
            status = self._path.stat()
        except OSError as error:
            message = f"{self._where}: {error.strerror}; run: undertow apply"
            raise Unavailable(message) from None
        there = status.st_dev, status.st_ino
        if there != self._file:
            self._close()  # replaced: what is written now is written elsewhere
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=self._timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            self._file = there
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._close()
            message = f"{self._where} does not answer now: {error}"
            if "no such table" in str(error):  # Feast has dropped it
                message = f"{self._where}: {error}; run: undertow apply"
            raise (Unavailable if isinstance(error, sqlite3.OperationalError) else Refused)(message) from error


@contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.rollback()


def _records(connection: sqlite3.Connection) -> dict[str, str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchall():
        return {}
    return dict(connection.execute(f"SELECT record, text FROM {TABLE}"))  # noqa: S608 - the name is ours


def _rows(connection: sqlite3.Connection, question: Question) -> dict[bytes, StoredRow]:
    """Return event time and values by feature, by key."""
    assert question.space is not None  # noqa: S101 for the type checker
    table = _table(question.project, question.space)
    # A column that is not there yet reads as null: our writer adds its own at its first write.
    known = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
    ours = ", ".join(name if name in known else "NULL" for name in (GUARD, WITNESS))
    rows: dict[bytes, StoredRow] = {}
    for first in range(0, len(question.keys), CHUNK):
        keys = question.keys[first : first + CHUNK]
        statement = (
            f"SELECT entity_key, feature_name, value, event_ts, created_ts, {ours} FROM {table} "  # noqa: S608 - quoted
            f"WHERE entity_key IN ({_marks(keys)}) AND feature_name IN ({_marks(question.features)})"
        )
        for key, name, value, *times in connection.execute(statement, (*keys, *question.features)):
            rows.setdefault(key, (_event_us(*times), {}))[1][name] = value
    return rows


def _table(project: str, space: ServedSpace) -> str:
    """Return the quoted name of Feast's table."""
    return '"' + f"{project}_{space.online}".replace('"', '""') + '"'


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _event_us(event_ts: Any, created_ts: Any, guard: int | None, witness: int | None) -> int:
    """Return the time by our own columns, unless Feast itself has written the row since."""
    if guard is not None and witness == event_ts and created_ts is None:
        return guard
    # Feast stores UTC's wall clock as if it were this machine's: see `online_sqlite`.
    return int(datetime.fromtimestamp(int(event_ts)).replace(tzinfo=UTC).timestamp()) * 1_000_000  # noqa: DTZ006
