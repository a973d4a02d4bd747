"""The service of docs/examples/reader_service.py on one core, under questions of four clients for 100 series each.

In: nothing. Out: vectors a second, and how long a question waits. Starts a Redis. `python tests/bench/reader_load.py`
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

from reader import SIZE, VIEW, make_repo, sites, started_redis

from undertow.devstack.processes import LOCALHOST, free_port

EXAMPLE = Path(__file__).parents[2] / "docs/examples/reader_service.py"
SERIES, CLIENTS, SECONDS = 100, 4, 12.0


def ask(connection: HTTPConnection, body: bytes) -> int:
    """Ask once; return the status."""
    connection.request("POST", "/scores", body)
    reply = connection.getresponse()
    reply.read()
    return reply.status


def await_service(port: int, body: bytes) -> None:
    """Return once the service answers."""
    while True:
        try:
            assert ask(HTTPConnection(LOCALHOST, port, timeout=5), body) == 200
        except OSError:
            time.sleep(0.1)
        else:
            return


def load(port: int, body: bytes) -> list[float]:
    """Ask for some seconds; return how long each question took."""
    taken: list[float] = []
    until = time.monotonic() + SECONDS

    def go() -> None:
        connection = HTTPConnection(LOCALHOST, port, timeout=30)
        while time.monotonic() < until:
            began = time.perf_counter()
            assert ask(connection, body) == 200
            taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=go) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(taken)


def main() -> None:
    """Measure, print."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "redis").mkdir()
        (folder / "model.json").write_text(json.dumps({"view": VIEW.view, "weights": [0.1] * SIZE}))
        with started_redis(folder / "redis") as redis:
            feast, port = make_repo(folder, redis), free_port()
            command = [sys.executable, EXAMPLE, feast.repo, VIEW.name, folder / "model.json", port]
            service = subprocess.Popen(list(map(str, command)), preexec_fn=lambda: os.sched_setaffinity(0, {0}))  # noqa: PLW1509 no thread yet
            try:
                body = json.dumps(sites(SERIES)).encode()
                await_service(port, body)
                taken = load(port, body)
            finally:
                service.terminate()
                service.wait()
    middle, late = (1e3 * taken[int(len(taken) * share)] for share in (0.5, 0.99))
    print(f"{len(taken) * SERIES / SECONDS:,.0f} vectors/s, p50 {middle:.1f} ms, p99 {late:.1f} ms")


if __name__ == "__main__":
    main()
