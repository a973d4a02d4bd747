"""The records of what is served, in Feast's SQLite file: one table, a row for each name of each project.

In: a path, texts. Out: the table. Knows nothing of what a record says.
"""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from undertow.core.errors import Unavailable
from undertow.schemas.served import record_name

TABLE = "undertow_served"
WAIT_S = 10.0


def write_sqlite_served(path: Path, project: str, records: Mapping[str, str]) -> None:
    """Let these be the records of the project, by name. Raises `Unavailable` where the file cannot be written now."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=WAIT_S)) as connection,
            connection,  # commits all, or nothing
        ):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (record TEXT PRIMARY KEY, text TEXT NOT NULL)")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"DELETE FROM {TABLE} WHERE substr(record, 1, ?) = ?", (len(project) + 1, f"{project}/"))  # noqa: S608 - the name is ours
            rows = [(record_name(project, name), text) for name, text in records.items()]
            connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?)", rows)  # noqa: S608 - the name is ours
    except sqlite3.Error as error:
        message = f"SQLite at {path} (online_store.path of the Feast config) does not take what is served: {error}"
        raise Unavailable(message) from error
