"""A real S3 server for tests: versitygw, built from its source by Go into the user's cache, once.

UNDERTOW_TEST_S3 names one that is there already: the path of a versitygw of your own.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from undertow.devstack.processes import LEASH, LOCALHOST, free_port
from undertow.storage.store_client import StoreOptions

SOURCE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
GIVEN = "UNDERTOW_TEST_S3"
BUCKET = "undertow-tests"
KEY, SECRET, REGION = "test-access", "test-hush-hush", "us-east-1"
READY_S = 30.0


class S3Server:
    """A server with one bucket, whose objects lie in a folder as files, by bucket and key."""

    def __init__(self, folder: Path, *, leashed: bool = False) -> None:
        """Start none yet. A leashed one ends when we do."""
        self.folder, self.port = folder / "objects", free_port()
        self._metadata, self._log, self._leashed = folder / "metadata", folder / "log", leashed
        (self.folder / BUCKET).mkdir(parents=True)
        self._metadata.mkdir()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port and the same objects; return when it answers."""
        program = binary()
        assert isinstance(program, Path), program
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())] if self._leashed else []
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(*leash, program, "--quiet", "--keep-alive", "--port", f"{LOCALHOST}:{self.port}"),
                    *("posix", "--sidecar", self._metadata, self.folder),
                ],
                env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((LOCALHOST, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError(f"the S3 server was expected to answer at {self.port}: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()

    def options(self, port: int | None = None) -> StoreOptions:
        """Return how it is reached, directly or by another port."""
        endpoint = f"http://{LOCALHOST}:{port or self.port}"
        return StoreOptions(endpoint=endpoint, region=REGION, access_key_id=KEY, secret_access_key=SECRET)


@cache
def binary() -> Path | str:
    """Return the server's program, built if need be, which takes some minutes; or why there is none."""
    if given := os.environ.get(GIVEN):
        return Path(given)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow" / f"versitygw-{VERSION}"
    program = folder / "versitygw"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the suite's two processes build it once
        if program.exists():
            return program
        if (go := shutil.which("go")) is None:
            return f"needs Go to build an S3 server, or {GIVEN}: the path of a versitygw {VERSION}"
        building = folder / "building"
        environment = {**os.environ, "GOBIN": str(building), "GOFLAGS": "-mod=mod"}
        built = subprocess.run(
            [go, "install", f"{SOURCE}@{VERSION}"], env=environment, capture_output=True, text=True, check=False
        )
        if built.returncode:
            return f"Go could not build {SOURCE}@{VERSION} (set {GIVEN} to one): {built.stderr[-300:]}"
        (building / "versitygw").rename(program)
    return program


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server over a folder until the block ends."""
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
