"""What stands in the way of a Ray of our own, seen before it starts; and its start without the line that says nothing.

In: the environment. Out: `Refused`, or nothing. Knows nothing of fleets and backfills.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from workers.core.errors import Refused

LONGEST_SOCKET = 107
"""Bytes of a path that Linux takes for a socket (AF_UNIX, less the end of the text)."""
_SESSION = "ray/session_2026-01-31_23-59-59_123456_{pid}/sockets/plasma_store"  # as ray._private.node names it
NOISE = b"Set ray log level from environment variable"
"""Ray's C++ side says it past every logger when it is told to say less."""


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


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """For the time of this block, hand everything that is written to standard error on but lines of `NOISE`.

    It works on the descriptor, which is where C++ writes.
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
