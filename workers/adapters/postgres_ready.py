"""Make a Postgres ready for Feast's `apply`, which makes tables of vectors and says nothing of what they need.

In: a Feast config, the names of views. Out: the extension `vector` in the database; `Refused` where it cannot be had,
or where Postgres would cut off the name of a table. Knows no registry.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import psycopg

from undertow.adapters.postgres_client import connect, place, translated
from undertow.core.errors import Refused

LONGEST_NAME = 63
"""Bytes of a table's name; Postgres cuts off what is beyond, and two views would share a table."""


def require_name(table: str) -> None:
    """Raise `Refused` for the name of a table that Postgres would cut off."""
    if (size := len(table.encode())) > LONGEST_NAME:
        message = (
            f"Postgres takes names of tables of {LONGEST_NAME} bytes at most, and {table} has {size}: choose a shorter "
            "name for the artifact (undertow pack --name), or for the project of the Feast config"
        )
        raise Refused(message)


def make_ready(config: Mapping[str, Any], views: Iterable[str]) -> None:
    """Install pgvector where vectors are searched. Raises `Refused`, `Unavailable`."""
    for view in views:
        require_name(f"{config.get('project')}_{view}")
    options = config["online_store"]
    with translated(options, "register the views"), closing(connect(options)) as connection:
        if options.get("vector_enabled"):
            _require_pgvector(connection, options)


def _require_pgvector(connection: psycopg.Connection, options: Mapping[str, Any]) -> None:
    if not _has_pgvector(connection):
        try:
            # The schema that Feast has always on its path.
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
            pass  # by another apply, in this moment
        except psycopg.errors.InsufficientPrivilege:
            message = (
                f"{place(options)}: the extension vector (pgvector) is not in this database, and the user "
                f"{options.get('user')} may not install it: have an administrator run CREATE EXTENSION vector there"
            )
            raise Refused(message) from None
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            message = (
                f"{place(options)}: expected the extension vector (pgvector), since the config says vector_enabled, "
                "found a server without it: install it there (Debian: postgresql-NN-pgvector), or say "
                "vector_enabled: false, without which nothing is searched"
            )
            raise Refused(message) from None
    if not connection.execute("SELECT to_regtype('vector')").fetchall()[0][0]:
        message = (
            f"{place(options)}: the extension vector is there, in a schema where Feast does not look: "
            "ALTER EXTENSION vector SET SCHEMA public"
        )
        raise Refused(message)


def _has_pgvector(connection: psycopg.Connection) -> bool:
    return bool(connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchall())
