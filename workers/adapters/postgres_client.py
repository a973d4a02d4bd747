"""Connect to Postgres as Feast would, and translate psycopg's errors.

In: Feast's `online_store` section. Out: a connection that commits each statement unless a transaction is begun;
`Refused` or `Unavailable`. Knows no table.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel

from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.masking import secrets_in, without
from undertow.settings.tls_files import require_authorities, require_pair

SETTING = "online_store of the Feast config"
AWAY = "does not take writes"
CONNECT_S = 5
"""How long connecting may take. A choice, as for Redis."""
STATEMENT_MS = 30_000
"""How long one statement may take, locks of others included: a batch takes milliseconds. A choice."""
SILENT_MS = 10_000
"""How long a server may leave what was sent unacknowledged: then its machine, or the network, is gone. A choice."""

_PASSING = re.compile(r"08|25006|40|53|55P03|55006|57|58")
"""How the codes (SQLSTATE) begin of states that end by themselves or by an operator: connections, a standby that takes
no writes, deadlocks, full disks, locks, shutdowns, I/O."""
_LASTING = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "does not exist",
    "does not support SSL",
    "certificate verify failed",
    "does not match host name",
    "certificate file",
    "private key file",
    "sslmode value",
    "channel binding",
)
"""Texts of permanent errors while connecting: libpq gives them no code."""
_FILES = {"sslrootcert": "sslrootcert_path", "sslcert": "sslcert_path", "sslkey": "sslkey_path"}


def connect(options: Mapping[str, Any], *, timeout_s: float | None = None) -> psycopg.Connection:
    """Connect. `timeout_s` limits connecting and each statement, for readers; else the limits of this module do.

    Raises psycopg's errors, and `Refused` for certificates that cannot be used.
    """
    files: dict[str, Any] = {word: options.get(name) for word, name in _FILES.items()}
    _require_files(files)
    statement_ms = STATEMENT_MS if timeout_s is None else max(1, int(timeout_s * 1000))
    host = str(options.get("host", ""))
    # `search_path` as in Feast's `_get_conn_kwargs`, or readers would look elsewhere.
    path = str(options.get("db_schema") or "public").strip()
    path += "" if path == "public" else ",public"
    connection = psycopg.connect(
        host=host,
        port=options.get("port", 5432),
        dbname=options.get("database"),
        user=options.get("user"),
        password=options.get("password"),
        sslmode=options.get("sslmode", "require"),
        **files,
        keepalives_idle=options.get("keepalives_idle"),
        connect_timeout=CONNECT_S if timeout_s is None else max(1, round(timeout_s)),
        tcp_user_timeout=SILENT_MS,
        target_session_attrs="read-write" if "," in host and timeout_s is None else "any",  # of several, the primary
        application_name="undertow",
        options=f"-c search_path={path} -c statement_timeout={statement_ms}",
        autocommit=True,
        prepare_threshold=None,  # a pooler may give each transaction another session
    )
    connection.isolation_level = IsolationLevel.READ_COMMITTED  # the guard compares with what is committed meanwhile
    return connection


@contextmanager
def translated(options: Mapping[str, Any], doing: str, *, away: str = AWAY) -> Iterator[None]:
    """Translate psycopg's errors. `doing` names the action in messages, `away` what a server does that is not there."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, options, doing, away) from None  # a cause could show the connection's options


def place(options: Mapping[str, Any]) -> str:
    """Return what messages call the server."""
    address = f"{options.get('host')}:{options.get('port', 5432)}"
    return f"Postgres at {address}, database {options.get('database')} ({SETTING})"


def _translate(error: psycopg.Error, options: Mapping[str, Any], doing: str, away: str) -> UndertowError:
    said = textwrap.shorten(without(str(error), secrets_in(options)), 300)
    where, code = place(options), error.sqlstate or ""
    if not code and any(words in said for words in _LASTING):
        return Refused(f"{where} refuses the connection: {said}")
    if _PASSING.match(code) or (not code and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))):
        return Unavailable(f"{where} {away} now: {type(error).__name__}: {said}")
    return Refused(f"{where} refuses to {doing}: {said}")


def _require_files(files: Mapping[str, str | None]) -> None:
    """Raise `Refused` for certificates that cannot be used: libpq would prompt for a locked key's password."""
    authorities, certificate, key = (files[word] for word in _FILES)
    if authorities and authorities != "system":
        require_authorities(Path(authorities), f"sslrootcert_path, {SETTING}")
    if certificate:
        names = {"certificate": "sslcert_path", "key": "sslkey_path", "password": "Feast takes none: unlock the key"}
        named = {what: f"{name}, {SETTING}" for what, name in names.items()}
        require_pair(Path(certificate), Path(key) if key else None, None, named)
