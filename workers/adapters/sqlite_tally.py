"""The tally of one view in an SQLite file, by which writers detect lost data: see `undertow.stream.store_tally`.

In: a connection, within a transaction. Out: `Tally`s. Knows no vector.
"""

import sqlite3
import time

from undertow.stream.store_tally import Tally

TABLE = "undertow_tally"
FORGET_S = 86_400
"""The count of a writer expires after a day without a look; a live writer looks every few seconds."""

_COUNT = (
    f"INSERT INTO {TABLE} (of, writer, count, at) VALUES (?, ?, ?, ?) "  # noqa: S608 - the name is ours
    "ON CONFLICT (of, writer) DO UPDATE SET count = count + excluded.count, at = excluded.at"
)


class SqliteTally:
    """A `TalliedStore`. A row of the table without a writer holds the claim."""

    def __init__(self, connection: sqlite3.Connection, view: str, writer: str) -> None:
        """Take a connection that has begun a transaction; `view` is the view's table."""
        self._connection, self._view, self._writer = connection, view, writer

    def make(self, *, void: bool) -> None:
        """Create the table if it does not exist; delete the view's tally if it is `void`."""
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (of TEXT, writer TEXT, count INTEGER NOT NULL DEFAULT 0, "
            "at INTEGER NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '', restored TEXT NOT NULL DEFAULT '', "
            "PRIMARY KEY (of, writer))"
        )
        if void:
            self._connection.execute(f"DELETE FROM {TABLE} WHERE of = ?", (self._view,))  # noqa: S608 - the name is ours

    def count(self) -> None:
        """Count one write."""
        now = int(time.time())
        self._connection.execute(_COUNT, (self._view, self._writer, 1, now))
        self._connection.execute(
            f"DELETE FROM {TABLE} WHERE of = ? AND writer != '' AND at < ?",  # noqa: S608 - the name is ours
            (self._view, now - FORGET_S),
        )

    def read(self) -> Tally:
        """Return the present tally."""
        rows = self._connection.execute(
            f"SELECT writer, count, claim, restored FROM {TABLE} WHERE of = ? AND writer IN ('', ?)",  # noqa: S608 - the name is ours
            (self._view, self._writer),
        )
        found = {writer: (count, claim, restored) for writer, count, claim, restored in rows}
        _, claim, restored = found.get("", (0, "", ""))
        return Tally(claim=claim, restored=restored, count=found.get(self._writer, (0, "", ""))[0])

    def claim(self, held: str, new: str) -> bool:
        """Compare-and-set: replace the claim `held` by `new`; the transaction excludes other writers."""
        if self.read().claim != held:
            return False
        self._connection.execute(
            f"INSERT INTO {TABLE} (of, writer, claim) VALUES (?, '', ?) "  # noqa: S608 - the name is ours
            "ON CONFLICT (of, writer) DO UPDATE SET claim = excluded.claim",
            (self._view, new),
        )
        return True

    def restored(self, claim: str) -> None:
        """Mark the claim as restored, unless more was lost since."""
        self._connection.execute(
            f"UPDATE {TABLE} SET restored = ? WHERE of = ? AND writer = '' AND claim = ?",  # noqa: S608 - the name is ours
            (claim, self._view, claim),
        )
