"""Start a fleet, or reach one that runs.

In: settings, a recipe. Out: a `Fleet` handle that asks the controller. Knows nothing of what the fleet does.
"""

import contextlib
import time

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from workers.cluster import join_ray
from workers.core.errors import Refused
from workers.fleet.actors import controller_actor, controller_name
from workers.fleet.status import FleetStatus
from workers.settings import FleetSettings
from workers.wiring import StreamRecipe

ANSWER_S = 30.0


class Fleet:
    """A running fleet, seen through its controller."""

    def __init__(self, name: str, controller: ActorHandle) -> None:
        """Hold the controller's handle."""
        self._name, self._controller = name, controller

    def status(self) -> FleetStatus:
        """Ask. Raises `Refused` where the controller is gone."""
        try:
            return self._ask()
        except RayActorError as error:
            message = f"the controller of fleet {self._name!r} is gone: {error}"
            raise Refused(message) from error

    def scale(self, replicas: int, timeout_s: float) -> FleetStatus:
        """Want so many replicas; return when so many and no others run, and every partition is read.

        Raises `Refused` after `timeout_s`.
        """
        ray.get(self._controller.scale.remote(replicas), timeout=ANSWER_S)
        give_up_at = time.monotonic() + timeout_s
        while True:
            status = self.status()
            running = [replica for replica in status.replicas if replica.state == "running"]
            readers = sum(len(replica.held) for replica in running)
            loaded = replicas + status.standbys
            all_run = status.wanted == replicas and len(running) == len(status.replicas) == loaded
            if all_run and readers == status.partitions:
                return status
            if status.state not in {"starting", "running"} or time.monotonic() > give_up_at:
                message = (
                    f"expected {replicas} running replicas of fleet {self._name!r}, found {len(running)} of "
                    f"{len(status.replicas)}; the fleet is {status.state}: {status.message or 'see undertow status'}"
                )
                raise Refused(message)
            time.sleep(0.1)

    def drain(self) -> None:
        """Ask every replica to finish; returns at once."""
        ray.get(self._controller.drain.remote(), timeout=ANSWER_S)

    def drain_and_wait(self, timeout_s: float) -> FleetStatus:
        """Drain, and return the last status when all replicas have ended. Raises `Refused` after `timeout_s`."""
        self.drain()
        give_up_at = time.monotonic() + timeout_s
        status = self.status()
        while status.state not in {"drained", "failed"}:
            if time.monotonic() > give_up_at:
                message = f"fleet {self._name!r} is still {status.state} after {timeout_s:.0f} s: {status.message}"
                raise Refused(message)
            time.sleep(0.1)
            with contextlib.suppress(RayActorError):  # gone: the foreground command has seen the end before us
                status = self._ask()
                continue
            break
        return status

    def remove(self) -> None:
        """End the controller of a fleet that has drained or failed."""
        ray.kill(self._controller, no_restart=True)

    def _ask(self) -> FleetStatus:
        status: FleetStatus = ray.get(self._controller.status.remote(), timeout=ANSWER_S)
        return status


def start(recipe: StreamRecipe) -> Fleet:
    """Start a fleet in the Ray that was joined. Raises `Refused` where one of this name runs already."""
    name = controller_name(recipe.fleet)
    try:
        controller = controller_actor.options(name=name, lifetime="detached").remote(recipe)
    except ValueError as error:
        message = f"a fleet named {recipe.fleet!r} runs already: drain it first, or set another fleet.name"
        raise Refused(message) from error
    return Fleet(recipe.fleet, controller)


def reach(settings: FleetSettings) -> Fleet:
    """Join the Ray of a running fleet and return its handle. Raises `Refused` where there is none of this name."""
    join_ray(settings)
    try:
        return Fleet(settings.name, ray.get_actor(controller_name(settings.name)))
    except ValueError as error:
        message = f"no fleet named {settings.name!r} runs here: see fleet.name and fleet.address"
        raise Refused(message) from error
