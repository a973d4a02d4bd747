"""The records of what is served, in Postgres: one table beside the vectors, a row for each name of each project.

In: Feast's `online_store` section, texts. Out: the table. Knows nothing of what a record says.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from psycopg import sql

from undertow.adapters.postgres_client import connect, translated
from undertow.schemas.served import record_name

TABLE = "undertow_served"


def write_postgres_served(options: Mapping[str, Any], project: str, records: Mapping[str, str]) -> None:
    """Let these be the records of the project, by name. Raises `Unavailable` or `Refused`."""
    rows = [(record_name(project, name), text) for name, text in records.items()]
    table = sql.Identifier(TABLE)
    with (
        translated(options, "write what is served"),
        closing(connect(options)) as connection,
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (TABLE,))  # two that make the table at once fail
        cursor.execute("SELECT to_regclass(%s)", (TABLE,))
        if cursor.fetchall() == [(None,)]:  # who may not make tables may write to one that is there
            cursor.execute(sql.SQL("CREATE TABLE {} (record TEXT PRIMARY KEY, text TEXT NOT NULL)").format(table))
        cursor.execute(sql.SQL("DELETE FROM {} WHERE starts_with(record, %s)").format(table), (f"{project}/",))
        cursor.executemany(sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(table), rows)
