"""The newest embedding of each series in Feast's own SQLite file, the store that needs no server.

In: `EmbeddingBatch`es. Out: the rows that stock Feast writes, one for each feature of a series, guarded by event time
and, of equal times, by when they were delivered. Feast overwrites whatever is there, and its readers take whole seconds
only, so the guard is columns of our own in Feast's table, `event_us` and `created_us`. Feast names its columns and
never sees them; they go when Feast drops the table. What Feast itself writes there (`materialize`, `push`) leaves our
columns as they were beside a row that is another's: such a guard is void, and the row's own time, in whole seconds,
takes its place. Never imports Feast.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from undertow.adapters import feast_bytes
from undertow.adapters.sqlite_tally import SqliteTally
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream.store_tally import OnLoss, TallyChecker

GUARD = "event_us"
DELIVERED = "created_us"
"""Of the rows of one event time the greatest wins; null, from an earlier version, comes before all."""
WITNESS = "event_us_of"
"""The `event_ts` that the guard was written beside. Where the row has another one by now, or a `created_ts`, which we
never write and Feast always does (our sources have that column), somebody else has written the row since."""

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
"""Primary result codes that go away: another writer, a full or read-only disk, a folder that is not mounted yet."""


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
        """Take the file, Feast's project, and the view's name in the store; open at first use.

        A write waits `busy_timeout_s` for other writers before it is `Unavailable`. `on_loss` is told where the file no
        longer holds what was written: see `undertow.stream.store_tally`. With it a file or a table that was there, and
        is gone, is waited for.
        """
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._table = f"{project}_{view}"
        self._connection: sqlite3.Connection | None = None
        self._tally_checker = TallyChecker(on_loss) if on_loss else None
        self._file: tuple[int, int] | None = None  # which one was opened last, by device and inode

    def write(self, batch: EmbeddingBatch) -> int:
        """Write what is newer than the file holds; see `OnlineSink`."""
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
        """Tell `on_loss` where the file no longer holds what was written."""
        if self._tally_checker is not None:
            with self._translated(), _transaction(self._open()) as connection:
                self._judge(connection, has_written=False)

    def restored(self, claim: str) -> None:
        """Note that what was lost is there again."""
        with self._translated(), _transaction(self._open()) as connection:
            SqliteTally(connection, self._table, "").restored(claim)

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
            self.close()  # moved, deleted or replaced: what is written to it no reader finds
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
        with contextlib.suppress(sqlite3.OperationalError):  # cannot be changed while others use the file; next time
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while we write
        connection.execute("PRAGMA synchronous = FULL")  # a write-ahead log is durable at each commit only so
        with _transaction(connection):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(self._table)})")}
            if not columns:
                self._refuse_missing(f"no table {self._table}")
            SqliteTally(connection, self._table, "").make(void=GUARD not in columns)  # Feast has made the table anew
            for column in (GUARD, DELIVERED, WITNESS):
                if column not in columns:
                    connection.execute(f"ALTER TABLE {_quoted(self._table)} ADD COLUMN {column} INTEGER")
            if WITNESS not in columns:  # an earlier version wrote guards alone
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
            if "no such table" in str(error):  # Feast has dropped it since
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
    """Take the one write lock first: a transaction that began by reading cannot wait for it."""
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
    # Of one second nobody can tell which is newer than what somebody else wrote: the one that comes now is taken.
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
    """Return event times as Feast's writer stores them: UTC's wall clock, read as if it were this machine's.

    Feast's reader undoes exactly that, so a reader in our time zone gets the right second, and one elsewhere is off by
    the difference of the zones. No integer would be right for all.
    """
    return [int((_EPOCH + timedelta(seconds=us // 1_000_000)).timestamp()) for us in event_us]
