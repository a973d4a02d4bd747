"""Prepare the start of a Ray cluster of our own: folder, token, address; and filter its start-up noise.

In: the environment. Out: `Refused`, or nothing. Knows nothing of fleets and backfills.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from undertow.core.errors import Refused
from undertow.core.private_files import keep_secret
from undertow.ray_session.internals import on_loopback

log = logging.getLogger(__name__)

LONGEST_SOCKET = 107
"""The most bytes of a socket's path on Linux (AF_UNIX, without the terminating zero)."""
_SESSION = "ray/session_2026-01-31_23-59-59_123456_{pid}/sockets/plasma_store"  # as ray._private.node names it
NOISE = b"Set ray log level from environment variable"
"""A line that Ray's C++ side prints, past every logger, when its log level is set."""

_OPENS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own variable for whether it listens on the network's address."""
PROBE_S = 5.0


def keep_token_private() -> None:
    """Create Ray's token before Ray does, which would make it readable for every user. Raises `Refused`.

    A token from the environment is left alone.
    """
    own = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {name for name, value in os.environ.items() if value}
    if own or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    token = Path.home() / ".ray" / "auth_token"
    if keep_secret(token, "HOME, RAY_AUTH_TOKEN_PATH"):
        log.warning(
            "%s, with which anyone may run code in our Ray, could be read by others until now; it is closed to them. "
            "If there are others on this machine, delete it while no Ray runs: a new one is made",
            token,
        )


def of_this_machine() -> contextlib.AbstractContextManager[None]:
    """Return a context in which Ray starts on 127.0.0.1 alone, unless the environment opens it to the network."""
    return contextlib.nullcontext() if os.environ.get(_OPENS) else on_loopback()


def reaching(address: str, *, network: str) -> contextlib.AbstractContextManager[None]:
    """Return a context in which Ray joins the one at this address. Raises `OSError` where nothing listens there.

    `network` is this machine's network address, which Ray would use in place of 127.0.0.1. Without the check, Ray would
    retry for minutes.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return contextlib.nullcontext()
    _probe(host, int(port))
    if host not in {"127.0.0.1", "localhost"} or address.startswith("ray://"):
        return contextlib.nullcontext()
    try:
        _probe(network, int(port))
    except OSError:
        return on_loopback()  # it listens nowhere else
    return contextlib.nullcontext()


def _probe(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=PROBE_S).close()


def refuse_bad_folder(pid: int) -> None:
    """Raise `Refused` where Ray could not keep its session and its sockets in the folder that the environment names."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = Path(os.environ[name] if name else "/tmp")  # noqa: S108 as Ray does
    length = len(os.fsencode(folder / _SESSION.format(pid=pid)))
    said = f"{name} = {folder}" if name else str(folder)
    if length > LONGEST_SOCKET:
        over = length - LONGEST_SOCKET
        message = (
            f"Ray puts its sockets below {said}, and their paths would have {length} bytes where the system takes "
            f"{LONGEST_SOCKET}: set RAY_TMPDIR to a folder whose path is at least {over} shorter, such as /tmp"
        )
        raise Refused(message)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = (
            f"Ray keeps its session below {said}, which cannot be written ({error}): set RAY_TMPDIR to one that can"
        )
        raise Refused(message) from error


def give_back(handler: Callable[[int, FrameType | None], object] | int | None) -> None:
    """Handle SIGTERM as our caller did before Ray was started or shut down.

    Ray sets a handler that exits, and at its end the system's own, which kills, past Python: `signal.getsignal` does
    not tell. Where the caller had none, Ray's stays, since it leaves nothing behind.
    """
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Within the context, filter lines with `NOISE` out of standard error.

    It works on the file descriptor, to which C++ writes.
    """
    kept, own = os.dup(2), os.dup(2)
    reads, writes = os.pipe()
    os.dup2(writes, 2)
    os.close(writes)
    begun, lock = bytearray(), threading.Lock()

    def hand_on() -> None:
        while chunk := os.read(reads, 1 << 16):
            with lock:
                *lines, rest = (bytes(begun) + chunk).split(b"\n")
                begun[:] = rest
                os.write(own, b"".join(line + b"\n" for line in lines if NOISE not in line))
        os.close(reads)
        os.close(own)

    thread = threading.Thread(target=hand_on, name="stderr", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        thread.join(timeout=1.0)  # a child process that still holds our end of the pipe keeps nobody up
        with lock:
            os.write(2, begun)
            begun.clear()
