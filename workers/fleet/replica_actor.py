"""One replica as a Ray actor: a process of its own.

In: a recipe, orders. Out: the replica's heartbeats. Knows no rule: its behaviour is in `replica`.
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
from undertow.fleet.handshake import say_hello
from undertow.fleet.metrics import emit_replica
from undertow.fleet.replica import Replica
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import QuarantineOrder
from undertow.telemetry.listeners import open_listener
from undertow.telemetry.logs import log_to_stderr
from undertow.wiring.root import StreamRecipe, stream_openers
from undertow.wiring.secrets import mask_of_fleet

LOOK_EVERY_S = 0.1
BURIAL_S = 10.0
"""A controller, if there is one, notices within this time that a replica has ended."""


class ReplicaActor:
    """One process, one model per artifact. Data threads run the streams; threads of group `control` answer requests."""

    def __init__(self, name: str) -> None:
        """Load nothing, so that the first heartbeat is answered while the model loads, on a node of any build."""
        self._name, self._ray_node = name, ray.get_runtime_context().get_node_id()
        self._replica: Replica | None = None
        on_sigterm(self._leave)

    def hello(self) -> dict[str, Any]:
        """Answer a process of any build."""
        state = "starting" if self._replica is None else self._replica.status().state
        return say_hello(ray_node=self._ray_node, state=state)

    def _leave(self) -> None:
        """Drain and end, on SIGTERM."""
        if self._replica is None:
            os._exit(0)
        self._replica.drain(self._replica.status().size)
        while self._replica.status().state != "ended":
            time.sleep(LOOK_EVERY_S)
        time.sleep(BURIAL_S)
        os._exit(0)

    def run(self, recipe_of_a_build: Stamped[StreamRecipe]) -> None:
        """Occupy the data thread until drained; a second call, by a restarted controller, does nothing."""
        recipe = recipe_of_a_build.value
        if self._replica is None:
            mask = mask_of_fleet(recipe)
            ring = log_to_stderr(recipe.tell.log, fleet=recipe.fleet.name, replica=self._name, mask=mask)
            tell = partial(open_listener, recipe.tell, fleet=recipe.fleet.name, replica=self._name)
            openers = stream_openers(recipe, new_tell=tell)
            self._replica = Replica(
                self._name,
                openers,
                drain_timeout_seconds=recipe.fleet.drain_timeout_seconds,
                max_embed_seconds=recipe.artifacts[0].model.max_embed_seconds,
                lines=ring.lines,
                mask=mask,
            )
            emit_replica(recipe.fleet.name, self._replica.status)
        self._replica.run()

    def status(self) -> ReplicaStatus:
        """Answer the heartbeat."""
        if self._replica is None:
            return ReplicaStatus(name=self._name, state="starting", ray_node=self._ray_node)
        return replace(self._replica.status(is_heartbeat=True), ray_node=self._ray_node)

    def assign(self, partitions: frozenset[Partition], size: FleetSize, quarantine: QuarantineOrder) -> None:
        """Read exactly these partitions."""
        if self._replica is not None:
            self._replica.assign(partitions, size, quarantine)

    def drain(self, size: FleetSize) -> None:
        """Drain."""
        if self._replica is not None:
            self._replica.drain(size)


def on_sigterm(act: Callable[[], object]) -> None:
    """Call `act`, in a thread of its own, on SIGTERM. To be called from the main thread.

    Ray's own handler would end the process in the midst of its work. Ours replaces it and does nothing, since it may
    run late, while the main thread waits outside of Python; the thread reads the wakeup fd, written at once in C.
    """
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    reads, writes = os.pipe()
    os.set_blocking(writes, False)  # as signal.set_wakeup_fd requires
    signal.set_wakeup_fd(writes, warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGTERM not in os.read(reads, 1):
            continue
        act()

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


CONTROL = {"concurrency_group": "control"}
replica_actor: Any = ray.remote(num_cpus=0, max_restarts=0, concurrency_groups={"control": 2})(ReplicaActor)
