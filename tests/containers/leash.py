"""Remove a container when the process that started it is gone, even by SIGKILL, or when the container is.

In: that process's pid and the container's id, as arguments. A process cannot hold a container as it holds a child: the
engine does.
"""

import contextlib
import os
import select
import sys

import docker

LOOK_EVERY_MS = 5_000


def main(starter_pid: int, container_id: str) -> None:
    """Wait for either; then remove what is left."""
    with contextlib.suppress(docker.errors.DockerException):
        container = docker.from_env().containers.get(container_id)
        with contextlib.suppress(ProcessLookupError):
            poll = select.poll()
            poll.register(os.pidfd_open(starter_pid), select.POLLIN)
            while not poll.poll(LOOK_EVERY_MS):
                container.reload()  # raises when it has been removed
        container.remove(force=True, v=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
