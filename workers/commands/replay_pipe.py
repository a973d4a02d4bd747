"""Run a user's command that repairs records: bytes to its standard input, bytes from its standard output.

In: a command line, one record. Out: what it wrote, or why it wrote nothing. Knows nothing of records.

The command runs in its own session, so it has no terminal to prompt on. When it ends or times out, every process that
it started is killed.
"""

import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from undertow.core.errors import Refused, WrongUsage

TIMEOUT_S = 30.0
LARGEST_BYTES = 64 << 20
"""The most bytes that it may write for one record: the size of the largest request to Kafka."""
LAST_WORDS_BYTES = 4 << 10
"""How many of the last bytes of its standard error are kept."""
LOOK_EVERY_S = 0.05
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PipedRecord:
    """The result of the command for one record."""

    value: bytes
    fault: str | None = None
    """Why there is no value."""


def parse_command(pipe: str) -> tuple[str, ...]:
    """Split a command line as a shell does; no shell is involved. Raises `WrongUsage`."""
    try:
        words = tuple(shlex.split(pipe))
    except ValueError as error:
        message = f"cannot run the command {pipe!r} (--pipe): {error}"
        raise WrongUsage(message) from error
    if not words or not words[0]:
        message = "expected a command behind --pipe, such as --pipe 'jq -c .past.ax|=map(.//0)'; found an empty one"
        raise WrongUsage(message)
    return words


def mend(value: bytes, command: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> PipedRecord:
    """Run the command on one record. Raises `Refused` if it cannot be run, or times out."""
    with tempfile.TemporaryFile() as given:
        given.write(value)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except (OSError, ValueError) as error:
            message = f"cannot run the command {shlex.join(command)!r} (--pipe): {error}"
            raise Refused(message) from error
        written, said = bytearray(), bytearray()
        try:
            is_whole = _read(process, written, said, timeout_s)
        finally:
            _end(process)
    if is_whole is None:
        message = f"the command {shlex.join(command)!r} (--pipe) was not done with one record after {timeout_s:.0f} s"
        raise Refused(message)
    if not is_whole:
        return PipedRecord(value=b"", fault=f"the command wrote more than {LARGEST_BYTES:,} bytes")
    if process.returncode:
        *_, last = ["", *said.decode(errors="replace").strip().splitlines()]
        why = f": {last}" if last else " and said nothing"
        return PipedRecord(value=b"", fault=f"the command ended with {process.returncode}{why}")
    return PipedRecord(value=bytes(written))


def _read(process: subprocess.Popen[bytes], written: bytearray, said: bytearray, timeout_s: float) -> bool | None:
    """Read both outputs until the command has ended, even if processes it started keep them open.

    Return True if everything was read, False if it wrote too much, None if it timed out.
    """
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as waiting:
        for stream, kept in ((process.stdout, written), (process.stderr, said)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                waiting.register(stream, selectors.EVENT_READ, kept)
        while time.monotonic() < deadline:
            ended = _has_ended(process)  # before reading, so that its last bytes are not missed
            events = waiting.select(0 if ended else LOOK_EVERY_S)
            if ended and not events:
                return True
            for key, _ in events:
                if block := os.read(key.fd, _BLOCK):
                    key.data.extend(block)
                else:
                    waiting.unregister(key.fileobj)
            del said[:-LAST_WORDS_BYTES]
            if len(written) > LARGEST_BYTES:
                return False
    return None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended, without reaping it: until then no other process group can get its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its process group, and reap it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
