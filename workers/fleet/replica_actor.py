"""One replica as a Ray actor: a process of its own.

In: a recipe, orders. Out: the replica's heartbeats. Knows no rule: what it does stands in `replica`.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from undertow.fleet.build import Stamped
from undertow.fleet.hello import say_hello
from undertow.fleet.metrics import emit_replica
from undertow.fleet.replica import Replica
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.care import Care
from undertow.telemetry.listeners import open_tell
from undertow.telemetry.logs import log_to_stderr
from undertow.wiring.root import StreamRecipe, stream_openers

LOOK_EVERY_S = 0.1
BURIAL_S = 10.0
"""Within it a controller has seen that a replica has ended, if there is one."""


class ReplicaActor:
    """One process, one model of each artifact. The data threads run the streams; those of group `control` answer."""

    def __init__(self, name: str) -> None:
        """Be there, so that the first heartbeat is answered while the model loads. A node of any build can do so."""
        self._name, self._ray_node = name, ray.get_runtime_context().get_node_id()
        self._replica: Replica | None = None
        on_sigterm(self._leave)

    def hello(self) -> dict[str, Any]:
        """Answer a process of any build."""
        state = "starting" if self._replica is None else self._replica.status().state
        return say_hello(ray_node=self._ray_node, state=state)

    def _leave(self) -> None:
        """Hand over and end, as a process does that is told to."""
        if self._replica is None:
            os._exit(0)
        self._replica.drain(self._replica.status().size)
        while self._replica.status().state != "ended":
            time.sleep(LOOK_EVERY_S)
        time.sleep(BURIAL_S)
        os._exit(0)

    def run(self, recipe_of_a_build: Stamped[StreamRecipe]) -> None:
        """Occupy the data thread until drained; asked again, by a controller that took over, do nothing more."""
        recipe = recipe_of_a_build.value
        if self._replica is None:
            ring = log_to_stderr(recipe.tell.log, fleet=recipe.fleet, replica=self._name)
            openers = stream_openers(recipe, new_tell=partial(open_tell, recipe.tell, self._name))
            self._replica = Replica(
                self._name,
                openers,
                drain_timeout_s=recipe.drain_timeout_s,
                max_embed_s=recipe.artifacts[0].model.max_embed_seconds,
                lines=ring.lines,
            )
            emit_replica(recipe.fleet, self._replica.status)
        self._replica.run()

    def status(self) -> ReplicaStatus:
        """Answer the heartbeat."""
        if self._replica is None:
            return ReplicaStatus(name=self._name, state="starting", ray_node=self._ray_node)
        return replace(self._replica.status(is_heartbeat=True), ray_node=self._ray_node)

    def assign(self, partitions: frozenset[Partition], size: FleetSize, care: Care) -> None:
        """Read exactly these."""
        if self._replica is not None:
            self._replica.assign(partitions, size, care)

    def drain(self, size: FleetSize) -> None:
        """Finish."""
        if self._replica is not None:
            self._replica.drain(size)


def on_sigterm(act: Callable[[], object]) -> None:
    """Call this, in a thread of its own, when the process is told to end. Call it from the main thread.

    Ray's own handler ends the process soon after, in the midst of its work. Ours in its place does nothing, and may
    run late, for the main thread waits outside of Python: it is what C writes for each signal that arrives at once.
    """
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    reads, writes = os.pipe()
    os.set_blocking(writes, False)  # as Python wants it
    signal.set_wakeup_fd(writes, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(reads, 1):
            continue
        act()

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


CONTROL = {"concurrency_group": "control"}
replica_actor: Any = ray.remote(num_cpus=0, max_restarts=0, concurrency_groups={"control": 2})(ReplicaActor)
