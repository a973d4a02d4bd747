"""Write embeddings online to Feast's own SQLite file, the store that needs no server.

In: `EmbeddingBatch`es. Out: the rows that stock Feast writes, one for each feature of a series. Knows no Feast: it is
never imported.

The newest event time wins, and of equal ones the row delivered last. Feast overwrites whatever is there, and stores
whole seconds, so the guard is two columns of our own in Feast's table, `event_us` and `created_us`. Feast names its
columns in every statement, so it never sees ours; they are gone when Feast drops the table. If Feast itself writes a
row (`materialize`, `push`), our columns stay as they were beside a foreign row: then the guard is void, and the row's
own time in whole seconds is compared.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from undertow.adapters import feast_bytes
from undertow.adapters.sqlite_tally import SqliteTally
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.windows import Values
from undertow.stream.store_tally import OnLoss, TallyChecker

GUARD = "event_us"
DELIVERED = "created_us"
"""The time of delivery: of rows with the same event time the greatest wins; null, from an earlier version, is least."""
WITNESS = "event_us_of"
"""The `event_ts` for which the guard was written. If the row has another one now, or a `created_ts` (which we never
write, and Feast always does, since our sources have that column), another program has written the row since."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose, see `_stored_seconds`
_PASSING = frozenset(
    {
        "SQLITE_BUSY",
        "SQLITE_LOCKED",
        "SQLITE_CANTOPEN",
        "SQLITE_FULL",
        "SQLITE_IOERR",
        "SQLITE_READONLY",
        "SQLITE_NOMEM",
    }
)
"""Primary result codes of temporary errors: another writer, a full or read-only disk, a folder not mounted yet."""


class SqliteOnline:
    """An `OnlineSink` for `type: sqlite`. Many processes may share the file; one thread of each at a time."""

    def __init__(
        self,
        *,
        path: Path,
        project: str,
        view: str,
        busy_timeout_s: float = 10.0,
        on_loss: OnLoss | None = None,
    ) -> None:
        """Take the settings; open the file at first use.

        `project`: Feast's project. `view`: the view's name in the store.
        `busy_timeout_s`: how long a write waits for other writers before it raises `Unavailable`.
        `on_loss`: called if the file has lost written data (`undertow.stream.store_tally`). If given, a file or table
        that existed before and is gone raises `Unavailable`.
        """
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._table = f"{project}_{view}"
        self._connection: sqlite3.Connection | None = None
        self._tally_checker = TallyChecker(on_loss) if on_loss else None
        self._file: tuple[int, int] | None = None  # which one was opened last, by device and inode

    def write(self, batch: EmbeddingBatch) -> int:
        """Write the rows that are newer than those in the file; see `OnlineSink`."""
        keys = feast_bytes.entity_keys(batch.series)
        if len(set(keys)) < len(keys):
            batch = batch.newest_per_series()
            keys = feast_bytes.entity_keys(batch.series)
        if not keys:
            return 0
        event_us, created_us = batch.event_us.tolist(), batch.created_us.tolist()
        seconds = _stored_seconds(event_us)
        statement = _upsert(self._table)
        written = 0
        with self._translated(), _transaction(self._open()) as connection:
            for feature, vectors in batch.features.items():
                values, names = feast_bytes.float_lists(vectors), [feature] * len(keys)
                rows = zip(keys, names, values, seconds, event_us, created_us, seconds, strict=True)
                written = connection.executemany(statement, rows).rowcount
            self._judge(connection, has_written=True)
        return written

    def look(self) -> None:
        """Call `on_loss` if the file has lost written data."""
        if self._tally_checker is not None:
            with self._translated(), _transaction(self._open()) as connection:
                self._judge(connection, has_written=False)

    def restored(self, claim: str) -> None:
        """Mark the loss of this claim as restored."""
        with self._translated(), _transaction(self._open()) as connection:
            SqliteTally(connection, self._table, "").restored(claim)

    def count_held(self, series: Mapping[str, Values]) -> int:
        """Return how many of these series have values of this view."""
        held = f"SELECT 1 FROM {_quoted(self._table)} WHERE entity_key = ? LIMIT 1"  # noqa: S608 - quoted
        with self._translated(), _transaction(self._open()) as connection:
            return sum(bool(connection.execute(held, [key]).fetchone()) for key in feast_bytes.entity_keys(series))

    def forget(self, series: Mapping[str, Values]) -> int:
        """Delete the values of these series, all at once; return how many had any.

        The tally counts writes, so nobody takes this for a loss.
        """
        delete = f"DELETE FROM {_quoted(self._table)} WHERE entity_key = ?"  # noqa: S608 - quoted
        with self._translated():
            connection = self._open()
            connection.execute("PRAGMA secure_delete = ON")  # else the bytes stay in pages that are free
            with _transaction(connection):
                found = sum(connection.execute(delete, [key]).rowcount > 0 for key in feast_bytes.entity_keys(series))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # and in the log of writes before this one
        return found

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as can be seen without one."""
        with self._translated():
            self._open()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _judge(self, connection: sqlite3.Connection, *, has_written: bool) -> None:
        if self._tally_checker is not None:
            tally = SqliteTally(connection, self._table, self._tally_checker.name)
            if has_written:
                tally.count()
            self._tally_checker.judge(tally.read(), tally, has_written=has_written)

    def _open(self) -> sqlite3.Connection:
        if (there := _identity(self._path)) != self._file:
            self.close()  # moved, deleted or replaced: no reader would find what is written to it
        if self._connection is None:
            if there is None:
                self._refuse_missing("no such file")
            connection = sqlite3.connect(
                self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._file = connection, there
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # impossible while others use it; next time
            connection.execute("PRAGMA journal_mode = WAL")  # readers are not blocked by writes
        connection.execute("PRAGMA synchronous = FULL")  # in WAL mode, commits are durable only so
        with _transaction(connection):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(self._table)})")}
            if not columns:
                self._refuse_missing(f"no table {self._table}")
            SqliteTally(connection, self._table, "").make(void=GUARD not in columns)  # void if Feast created it anew
            for column in (GUARD, DELIVERED, WITNESS):
                if column not in columns:
                    connection.execute(f"ALTER TABLE {_quoted(self._table)} ADD COLUMN {column} INTEGER")
            if WITNESS not in columns:  # earlier versions wrote only the guard
                connection.execute(f"UPDATE {_quoted(self._table)} SET {WITNESS} = event_ts WHERE {GUARD} NOT NULL")  # noqa: S608 - quoted

    def _refuse_missing(self, found: str) -> NoReturn:
        message = f"expected the online store that Feast makes at {self._path}, found {found}; run: undertow apply"
        was_there = self._tally_checker is not None and self._file is not None
        raise (Unavailable if was_there else Refused)(message)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self.close()
            if "no such table" in str(error):  # Feast has dropped it meanwhile
                self._refuse_missing(f"no table {self._table}")
            primary = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
            message = f"SQLite at {self._path} (online_store.path of the Feast config): {error}"
            raise (Unavailable if primary in _PASSING else Refused)(message) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Begin with the write lock: a transaction that begins by reading cannot wait for it later."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _upsert(table: str) -> str:
    held = _quoted(table)
    holds = f"{held}.{WITNESS} IS {held}.event_ts AND {held}.created_ts IS NULL"
    # Within a second it is unknown whether a foreign row is newer: the one that is written last wins.
    newer = (
        f"CASE WHEN {holds} "
        f"THEN (excluded.{GUARD}, excluded.{DELIVERED}) > ({held}.{GUARD}, coalesce({held}.{DELIVERED}, -1)) "
        f"ELSE excluded.event_ts >= {held}.event_ts END"
    )
    return (
        f"INSERT INTO {held} (entity_key, feature_name, value, event_ts, {GUARD}, {DELIVERED}, {WITNESS}) "  # noqa: S608 - quoted
        "VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, "
        f"created_ts = NULL, {GUARD} = excluded.{GUARD}, {DELIVERED} = excluded.{DELIVERED}, "
        f"{WITNESS} = excluded.{WITNESS} WHERE {newer}"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stored_seconds(event_us: Sequence[int]) -> list[int]:
    """Return event times as Feast's writer stores them: UTC's wall clock, interpreted in this machine's time zone.

    Feast's reader does the reverse, so that readers in our time zone get the right second, and others are off by the
    difference of the zones. No integer would be right for all readers.
    """
    return [int((_EPOCH + timedelta(seconds=us // 1_000_000)).timestamp()) for us in event_us]
