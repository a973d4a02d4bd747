"""End a server when the process that started it ends, even by SIGKILL.

In: the pid of the starter and a command line. Out: this process becomes the command; a watcher beside it ends the
command when the starter is gone, even by SIGKILL. Knows no server.

Run as a script, with the standard library alone, so that it starts at once. The watcher waits for the
process that asked, and not for a thread of it, as PR_SET_PDEATHSIG would.
"""

import os
import select
import signal
import sys

GRACE_MS = 15_000


def watch(starter: int, server: int) -> None:
    """Block until either process is gone; then end the server. Both are pidfds, so no recycled pid is ever hit."""
    poll = select.poll()
    poll.register(starter, select.POLLIN)
    poll.register(server, select.POLLIN)
    poll.poll()
    last = select.poll()
    last.register(server, select.POLLIN)
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(server, number)
        except ProcessLookupError:
            return
        if number is not signal.SIGTERM and last.poll(GRACE_MS):
            return


def main(starter_pid: int, command: list[str]) -> None:
    """Fork the watcher out of our family, then become the command."""
    starter = os.pidfd_open(starter_pid)
    if os.getppid() != starter_pid:
        sys.exit("the process that asked for this server is already gone")
    server = os.pidfd_open(os.getpid())
    between = os.fork()
    if between == 0:
        if os.fork() == 0:
            os.setsid()
            watch(starter, server)
        os._exit(0)
    os.waitpid(between, 0)
    os.execv(command[0], command)  # noqa: S606 a resolved path, and no shell wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
