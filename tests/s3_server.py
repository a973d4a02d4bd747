"""A real S3 server for tests: versitygw, built from its source by Go into the user's cache, once.

UNDERTOW_TEST_S3 names one that is there already: the path of a versitygw of your own.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from undertow.devstack.processes import LOCALHOST, free_port
from undertow.storage.store_client import StoreOptions

SOURCE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
GIVEN = "UNDERTOW_TEST_S3"
BUCKET = "undertow-tests"
KEY, SECRET = "test-access", "test-hush-hush"
READY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A server with one bucket."""

    folder: Path
    """Its objects lie here as files, by bucket and key."""
    options: StoreOptions


def binary() -> Path:
    """Return the server's program; build it if need be, which takes three minutes. Skips the test without Go."""
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
            pytest.skip(f"needs Go to build an S3 server, or {GIVEN}: the path of a versitygw {VERSION}")
        building = folder / "building"
        environment = {**os.environ, "GOBIN": str(building), "GOFLAGS": "-mod=mod"}
        built = subprocess.run(
            [go, "install", f"{SOURCE}@{VERSION}"], env=environment, capture_output=True, text=True, check=False
        )
        if built.returncode:
            pytest.skip(f"Go could not build {SOURCE}@{VERSION} (set {GIVEN} to one): {built.stderr[-300:]}")
        (building / "versitygw").rename(program)
    return program


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server over a folder until the block ends."""
    program, port = binary(), free_port()
    (folder / "objects" / BUCKET).mkdir(parents=True)
    (folder / "metadata").mkdir()
    process = subprocess.Popen(
        [
            *(program, "--quiet", "--keep-alive", "--port", f"{LOCALHOST}:{port}"),
            *("posix", "--sidecar", folder / "metadata", folder / "objects"),
        ],
        env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
        stdin=subprocess.DEVNULL,
        stdout=(folder / "log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    endpoint = f"http://{LOCALHOST}:{port}"
    try:
        _await(port, process, folder / "log")
        options = StoreOptions(endpoint=endpoint, region="us-east-1", access_key_id=KEY, secret_access_key=SECRET)
        yield S3Server(folder=folder / "objects", options=options)
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((LOCALHOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the S3 server was expected to answer at port {port}; its log: {log.read_text()[-2000:]}")
