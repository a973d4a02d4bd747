"""Start a fleet, or reach one that runs.

In: settings, a recipe. Out: a `Fleet` handle that asks the controller. Knows nothing of what the fleet does.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from workers.core.errors import Refused
from workers.fleet.actors import NAMESPACE, ControllerActor, controller_name
from workers.fleet.status import FleetStatus
from workers.settings import FleetSettings
from workers.wiring import StreamRecipe

OBJECT_STORE_BYTES = 128 << 20  # windows never pass through Ray's object store
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


@contextlib.contextmanager
def ray_session(settings: FleetSettings) -> Iterator[None]:
    """Join the Ray that the settings name, or start one that ends with this block."""
    if settings.address == "local":
        # Logical CPUs: the replicas' and one for what starts beside them, whatever the machine has.
        cpus = max(os.cpu_count() or 1, math.ceil(settings.replicas * settings.num_cpus) + 1)
        ray.init(
            address="local",
            namespace=NAMESPACE,
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level="ERROR",
        )
    else:
        join_ray(settings)
    try:
        yield
    finally:
        ray.shutdown()


def join_ray(settings: FleetSettings) -> None:
    """Join a Ray that runs already. Raises `Refused` where there is none."""
    address = "auto" if settings.address == "local" else settings.address
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError) as error:
        message = f"no Ray answers at fleet.address = {address!r} (is the fleet running? undertow run): {error}"
        raise Refused(message) from error


def start(recipe: StreamRecipe) -> Fleet:
    """Start a fleet in the Ray that was joined. Raises `Refused` where one of this name runs already."""
    name = controller_name(recipe.fleet)
    try:
        controller = ControllerActor.options(name=name, lifetime="detached").remote(recipe)
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
