"""Start, recognise, await and end a server process that may outlive us.

In: a command line. Out: a `Process`, which names one process for ever: its pid and when it began. Knows no server.
"""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.core.errors import Unavailable

LOCALHOST = "127.0.0.1"
LEASH = Path(__file__).with_name("leash.py")
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. The kernel gives a pid again to others; together with its beginning it is unique."""

    pid: int
    began: str

    def is_alive(self) -> bool:
        """Whether any thread of it still runs; a zombie does not."""
        return began(self.pid) == self.began


def began(pid: int) -> str | None:
    """When the process began: clock ticks since a boot, and which boot. None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    state, threads = fields[0], int(fields[17])
    if state == "X" or (state == "Z" and threads <= 1):  # until its last thread is gone, a dead one listens on its port
        return None
    return f"{fields[19]}@{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def start(command: Sequence[str], *, log: Path, leashed: bool) -> Process:
    """Start a server in a session of its own, so that the terminal's Ctrl-C does not reach it.

    A leashed one ends when we do; any other outlives us.
    """
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())] if leashed else []
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*leash, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
            env={"LANG": "C.UTF-8"},  # the user's JAVA_TOOL_OPTIONS or CLASSPATH are not meant for our servers
        )
    child.returncode = 0  # ours to reap in `stop`, perhaps as another process; Popen must not warn about it
    return Process(pid=child.pid, began=began(child.pid) or "")


def stop(process: Process, *, grace_seconds: float) -> bool:
    """End a process and wait until it is gone; return whether it was there. SIGKILL comes after `grace_seconds`."""
    if not process.is_alive():
        return False
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.is_alive():  # asked again with the pidfd in hand: from here on the pid cannot change owners
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(pidfd, number)
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)  # a stopped process handles SIGTERM only then
            if select.select([pidfd], [], [], grace_seconds)[0]:
                break
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)
        reap(process.pid)
    return True


def reap(pid: int) -> None:
    """Forget the process where it is our child; where it is not, its own parent does."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def await_ready(process: Process, is_ready: Callable[[], bool], *, name: str, log: Path, timeout_s: float) -> None:
    """Return when the server answers; raise `Unavailable` with the end of its log when it dies or stays silent."""
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if not process.is_alive():
            reap(process.pid)
            message = f"{name} was expected to start, but it ended. The end of {log}:\n{tail(log)}"
            raise Unavailable(message)
        if time.monotonic() > deadline:
            message = f"{name} was expected to answer within {timeout_s:g} s. The end of {log}:\n{tail(log)}"
            raise Unavailable(message)
        time.sleep(0.05)


def tail(log: Path) -> str:
    """Return the last lines of a log, without Java's stack frames."""
    with log.open(errors="replace") as lines:
        return "".join(deque((line for line in lines if not line.startswith("\tat ")), TAIL_LINES)).rstrip()


def is_port_free(port: int) -> bool:
    """Whether we could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, to pass over TIME_WAIT
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on.

    It lies below the range the kernel gives to outgoing connections, one of which could take it before the server does.
    """
    while not is_port_free(port := random.SystemRandom().randrange(15_000, 32_000)):
        pass
    return port
