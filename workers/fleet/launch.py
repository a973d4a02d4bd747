"""Start a fleet, or reach one that runs.

In: settings, a recipe. Out: a `Fleet` handle that asks the controller. Knows nothing of what the fleet does.
"""

import time
import uuid
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from workers.adapters.kafka_sign import KafkaSign
from workers.cluster import join_ray
from workers.core.errors import Refused, Unavailable
from workers.fleet.claim import Beat, claim, own_sign
from workers.fleet.controller_actor import controller_actor, controller_name
from workers.fleet.differences import differences
from workers.fleet.ray_replicas import remove_orphans
from workers.fleet.status import FleetStatus
from workers.sections import FleetSettings
from workers.wiring import StreamRecipe

ANSWER_S = 30.0
START_S = 120.0
"""A controller's process may have to be started first, on a machine that is busy with others."""


class Fleet:
    """A running fleet, seen through its controller."""

    def __init__(self, name: str, controller: ActorHandle) -> None:
        """Hold the controller's handle."""
        self.name, self._controller = name, controller

    def status(self, timeout_s: float = ANSWER_S) -> FleetStatus:
        """Ask. Like all that asks the controller, raises `Refused` where it is gone, `Unavailable` where it is late."""
        status: FleetStatus = self._answer(self._controller.status.remote(), timeout_s)
        return status

    def scale(self, replicas: int, timeout_s: float) -> FleetStatus:
        """Want so many replicas; return when so many and no others run, and every partition is read.

        Raises `Refused` after `timeout_s`.
        """
        recipe = self.recipe()
        if recipe.max_replicas and not recipe.min_replicas <= replicas <= recipe.max_replicas:
            message = (
                f"fleet {self.name!r} follows its lag within {recipe.min_replicas} and {recipe.max_replicas} replicas "
                f"(fleet.min_replicas, fleet.max_replicas), found {replicas}"
            )
            raise Refused(message)
        self._answer(self._controller.scale.remote(replicas))
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
                    f"expected {replicas} running replicas of fleet {self.name!r}, found {len(running)} of "
                    f"{len(status.replicas)}; the fleet is {status.state}: {status.message or 'see undertow status'}"
                )
                raise Refused(message)
            time.sleep(0.1)

    def drain(self) -> None:
        """Ask every replica to finish; returns at once."""
        self._answer(self._controller.drain.remote())

    def drain_and_wait(self, timeout_s: float) -> FleetStatus:
        """Drain, and return the last status when all replicas have ended. Raises `Refused` after `timeout_s`."""
        self.drain()
        give_up_at = time.monotonic() + timeout_s
        status = self.status()
        while status.state not in {"drained", "failed"}:
            if time.monotonic() > give_up_at:
                message = f"fleet {self.name!r} is still {status.state} after {timeout_s:.0f} s: {status.message}"
                raise Refused(message)
            time.sleep(0.1)
            try:
                status = self.status()
            except Refused:  # gone: the foreground command has seen the end before us
                break
        return status

    def recipe(self) -> StreamRecipe:
        """Return what it was started with."""
        recipe: StreamRecipe = self._answer(self._controller.recipe.remote())
        return recipe

    def remove(self) -> None:
        """End the controller of a fleet that has drained or failed."""
        ray.kill(self._controller, no_restart=True)

    def _answer(self, asked: Any, timeout_s: float = ANSWER_S) -> Any:
        """Wait for what the controller was asked."""
        try:
            return ray.get(asked, timeout=timeout_s)
        except RayActorError as error:
            message = f"the controller of fleet {self.name!r} is gone: {str(error).splitlines()[0]}"
            raise Refused(message) from error
        except GetTimeoutError as error:
            message = (
                f"the controller of fleet {self.name!r} has not answered for {timeout_s:.0f} s; `ray status` shows "
                "whether its node is alive and has a CPU to spare"
            )
            raise Unavailable(message) from error


def start(recipe: StreamRecipe, *, force: bool = False) -> Fleet:
    """Start a fleet in the Ray that was joined.

    Raises `Refused` where one of this name runs here already, or one anywhere reads this topic under this group; the
    latter not with `force`.
    """
    own = own_sign(recipe.fleet, uuid.uuid4().hex)
    with KafkaSign(recipe.kafka) as sign:
        if not force:
            claim(own, read=sign.read, write=sign.write)
        beat, fleet = Beat(own, write=sign.write), None
        try:
            name = controller_name(recipe.fleet)
            if not _is_there(name):
                remove_orphans(recipe.fleet)
            fleet = Fleet(recipe.fleet, controller_actor.options(name=name, lifetime="detached").remote(recipe, own))
            fleet.status(timeout_s=START_S)  # from here on the controller shows the sign
        except ValueError as error:
            message = f"a fleet named {recipe.fleet!r} runs already: drain it first, or set another fleet.name"
            raise Refused(message) from error
        finally:
            beat.stop(is_last=fleet is None)
    return fleet


def _is_there(name: str) -> bool:
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True


def attach(recipe: StreamRecipe) -> Fleet | None:
    """Return the fleet of this name in the Ray that was joined, None where there is none or it has come to its end.

    A fleet that drains is waited for. Raises `Refused` where it was started with other settings, naming them.
    """
    try:
        fleet = Fleet(recipe.fleet, ray.get_actor(controller_name(recipe.fleet)))
    except ValueError:
        return None
    status = fleet.status()
    if status.state == "draining":
        status = fleet.drain_and_wait(recipe.drain_timeout_s + ANSWER_S)
    if status.state in {"drained", "failed"}:
        fleet.remove()
        return None
    if differ := differences(fleet.recipe(), recipe):
        message = (
            f"fleet {recipe.fleet!r} runs already, with other settings: {'; '.join(differ)}. Drain it first "
            "(undertow drain), use its settings to attach to it, or set another fleet.name and kafka.group"
        )
        raise Refused(message)
    return fleet


def reach(settings: FleetSettings) -> Fleet:
    """Join the Ray of a running fleet and return its handle. Raises `Refused` where there is none of this name."""
    join_ray(settings)
    try:
        return Fleet(settings.name, ray.get_actor(controller_name(settings.name)))
    except ValueError as error:
        message = f"no fleet named {settings.name!r} runs here: see fleet.name and fleet.address"
        raise Refused(message) from error
