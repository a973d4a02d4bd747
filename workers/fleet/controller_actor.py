"""The controller of a fleet as a Ray actor: detached, found by name, restarted by Ray when it dies.

In: a recipe, requests of users. Out: the fleet's status. Knows no rule: decisions are made in `controller`.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray

from undertow.adapters.kafka_admin import find_topic
from undertow.core.secret_mask import masked_faults
from undertow.fleet.build import Stamped
from undertow.fleet.controller import Controller
from undertow.fleet.handle import ENDS
from undertow.fleet.handshake import say_hello
from undertow.fleet.identity import served
from undertow.fleet.lease import Lease
from undertow.fleet.lease_places import Heartbeats, open_lease_places
from undertow.fleet.maintenance import Maintenance
from undertow.fleet.metrics import Emitter
from undertow.fleet.monitor import FleetMonitor
from undertow.fleet.ray_maintainer import RayMaintainer
from undertow.fleet.ray_replicas import RayReplicas
from undertow.fleet.status import FleetStatus
from undertow.fleet.topic_watch import TopicWatch
from undertow.telemetry.logs import Line, log_to_stderr
from undertow.wiring.root import StreamRecipe
from undertow.wiring.secrets import mask_of_fleet

log = logging.getLogger(__name__)

TICK_S = 0.1


def controller_name(fleet: str) -> str:
    """Return the actor name of a fleet's controller."""
    return f"{fleet}:controller"


class ControllerActor:
    """The one controller of a fleet; after a crash Ray restarts it and it finds its replicas by name."""

    def __init__(self, recipe_of_a_build: Stamped[StreamRecipe], lease: Stamped[Lease]) -> None:
        """Start to tick, to write the heartbeat, and to watch the topic."""
        recipe = recipe_of_a_build.value
        self._recipe, self._mask = recipe, mask_of_fleet(recipe)
        ring = log_to_stderr(recipe.tell.log, fleet=recipe.fleet.name, mask=self._mask)
        with masked_faults(self._mask):
            self._begin(recipe, lease.value, ring.lines)

    def _begin(self, recipe: StreamRecipe, lease: Lease, lines: Callable[[], tuple[Line, ...]]) -> None:
        self._controller = Controller(
            fleet=recipe.fleet,
            partitions=recipe.partitions,
            replicas=RayReplicas(recipe),
            clock=time.monotonic,
            monitor=FleetMonitor(time.monotonic, recipe.fleet, lines=lines),
        )
        self._maintenance = Maintenance(
            _maintain_seconds(recipe), RayMaintainer(recipe), time.monotonic, mask=self._mask
        )
        self._fault: str | None = None
        self._has_ended = False
        self._heartbeats = Heartbeats(lease, open_lease_places(recipe))
        TopicWatch(
            recipe.topic_id,
            ask=lambda: find_topic(recipe.kafka),
            grow=self._controller.grow,
            fail=self._controller.fail,
        ).start(recipe.fleet.look_for_partitions_seconds)
        threading.Thread(target=self._tick, name="controller", daemon=True).start()

    def hello(self) -> dict[str, Any]:
        """Answer a process of any build."""
        status = self.status()
        return say_hello(
            state=status.state,
            message=status.message or "",
            windows=status.counts.windows,
            rejects=sum(status.counts.rejects.values()),
            waiting=status.observed.waiting,
            waiting_series=status.observed.waiting_series,
            **served(self._recipe),
        )

    def status(self) -> FleetStatus:
        """Return the status. The end is reported once the lease is deleted: then the next fleet may start."""
        status = replace(self._controller.status(), maintained=self._maintenance.status())
        if status.state in ENDS and not self._has_ended:
            status = replace(status, state="draining")
        return status if self._fault is None else replace(status, message=self._fault)

    def recipe(self) -> StreamRecipe:
        """Return the recipe that the fleet was started with."""
        return self._recipe

    def drain(self) -> None:
        """Drain all replicas; a process of any build may ask for it."""
        self._controller.drain()

    def scale(self, replicas: int) -> None:
        """Change the wanted number of replicas."""
        self._controller.scale(replicas)

    def _tick(self) -> None:
        """Tick until the fleet has ended. A tick that fails is reported in the status and retried."""
        emitter = Emitter()
        while self._controller.status().state not in ENDS:
            try:
                self._controller.tick()
                self._maintenance.tick(is_ending=self._controller.status().state not in {"starting", "running"})
                emitter.emit_fleet(replace(self._controller.status(), maintained=self._maintenance.status()))
                self._fault = None
            except Exception as error:
                log.exception("a tick of the controller failed")
                self._fault = self._mask(f"the controller's last tick failed: {type(error).__name__}: {error}")
            time.sleep(TICK_S)
        self._end_maintenance()
        self._heartbeats.stop(is_last=True)
        self._has_ended = True

    def _end_maintenance(self) -> None:
        """End the maintainer, wherever it is: the next one goes on. The fleet ends also where this fails."""
        try:
            self._maintenance.end()
        except Exception:
            log.exception("the maintainer could not be ended; it ends with the controller")


def _maintain_seconds(recipe: StreamRecipe) -> float:
    """Return the pause between two runs of the maintainer; 0 where the fleet writes no log, too."""
    first = recipe.artifacts[0]
    return 0.0 if first.log is None else first.offline.maintain_seconds


controller_actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=8)(ControllerActor)
