"""A Ray of several nodes on one machine, each by `ray start --block`, as on a machine of its own."""

import os
import sys
import time
from pathlib import Path

import psutil

from undertow.devstack.processes import LOCALHOST, free_port

RAY = Path(sys.executable).with_name("ray")
IS_UP = "will now block forever"
DRAIN_S = 120
"""So long a node that gets SIGTERM waits for what runs on it."""


class Nodes:
    """Nodes with room for one replica each. The first is the head."""

    def __init__(self, folder: Path, *, apart: Path | None = None) -> None:
        """`folder` is Ray's, with a short name: a socket's path may have 107 characters.

        `apart` is where each node gets a home and a working folder of its own.
        """
        self._folder, self._apart = folder, apart
        self._nodes: list[psutil.Popen] = []
        port = free_port()
        self.address = f"{LOCALHOST}:{port}"
        self._start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")

    def add(self) -> psutil.Popen:
        """Return when one more has joined."""
        return self._start(f"--address={self.address}")

    def home(self, number: int) -> Path:
        """Return the home of a node that lives apart."""
        assert self._apart is not None
        return self._apart / f"node-{number}"

    def kill(self) -> None:
        """All of them, and whatever they have started."""
        family = [one for node in self._nodes if node.is_running() for one in (node, *node.children(recursive=True))]
        for process in family:
            if process.is_running():
                process.kill()
        psutil.wait_procs(family, timeout=15)

    def _start(self, *arguments: str) -> psutil.Popen:
        output = self._folder / f"node-{len(self._nodes)}"
        common = ("--block", "--num-cpus=1", f"--object-store-memory={128 << 20}", f"--node-ip-address={LOCALHOST}")
        ports = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")  # nodes would share
        quiet = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        environment = {**os.environ, **quiet, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": f"{DRAIN_S}"}
        if self._apart is not None:
            home = self.home(len(self._nodes))
            home.mkdir(parents=True)
            environment = {name: value for name, value in environment.items() if name != "XDG_CACHE_HOME"}
            environment |= {"HOME": str(home), "PWD": str(home)}
        with output.open("wb") as log:
            node = psutil.Popen(
                [RAY, "start", *common, *ports, *arguments],
                env=environment,
                cwd=None if self._apart is None else home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._nodes.append(node)
        while IS_UP not in output.read_text():
            assert node.poll() is None, output.read_text()
            time.sleep(0.1)
        return node
