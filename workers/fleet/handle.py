"""The client of a running fleet: requests to its controller from other processes.

In: the controller's actor handle. Out: statuses; orders. Knows nothing of what the fleet does.

A controller of another build is sent only `hello` and `drain`, which are the same in all builds.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from undertow.core.errors import Refused, Unavailable
from undertow.fleet.build import foreign
from undertow.fleet.handshake import UNKNOWN, Handshake, hear
from undertow.fleet.status import FleetStatus
from undertow.schemas.wording import counted
from undertow.wiring.root import StreamRecipe

ANSWER_S = 30.0
LOOK_EVERY_S = 0.1
ENDS = frozenset({"drained", "failed"})


class HasState(Protocol):
    """A `FleetStatus`, or the `Handshake` of a controller."""

    @property
    def state(self) -> str:
        """The phase of the fleet."""

    @property
    def message(self) -> str | None:
        """The reason for it."""


S = TypeVar("S", bound=HasState)


class Fleet:
    """A running fleet, seen through its controller."""

    def __init__(self, name: str, controller: ActorHandle) -> None:
        """Keep the controller's handle."""
        self.name, self._controller, self._is_ours = name, controller, False

    def handshake(self, timeout_s: float = ANSWER_S, stops: Callable[[], bool] = lambda: False) -> Handshake:
        """Return the controller's build and state.

        Like all requests, raises `Refused` where the controller is gone, `Unavailable` where it does not answer in
        time, or as soon as `stops` returns True.
        """
        try:
            asked = self._controller.hello.remote()
        except AttributeError:
            return Handshake(build=UNKNOWN, state="running")
        return hear(self._answer(asked, timeout_s, stops))

    def status(self, timeout_s: float = ANSWER_S, stops: Callable[[], bool] = lambda: False) -> FleetStatus:
        """Return the status. Raises `Refused` also for a controller of another build, as `scale` and `recipe` do."""
        self._meet(timeout_s, stops)
        status: FleetStatus = self._answer(self._controller.status.remote(), timeout_s, stops)
        return status

    def scale(self, replicas: int, timeout_s: float) -> FleetStatus:
        """Change the number of replicas; return when exactly that many run, and every partition is read.

        Raises `Refused` after `timeout_s`, and for more replicas than there are partitions to read.
        """
        self._require_size(replicas)
        self._answer(self._controller.scale.remote(replicas))
        give_up_at = time.monotonic() + timeout_s
        is_heard = False
        while True:
            status = self.status()
            if is_heard and status.wanted not in {replicas, 0}:
                message = (
                    f"expected {replicas} replicas, but fleet {self.name!r} has wanted {status.wanted} since: by "
                    "another order, or as its lag asks"
                )
                raise Refused(message)
            is_heard |= status.wanted == replicas
            running = [replica for replica in status.replicas if replica.state == "running"]
            readers = sum(len(replica.held) for replica in running)
            loaded = replicas + status.standbys
            all_run = status.wanted == replicas and len(running) == len(status.replicas) == loaded
            if all_run and readers == status.partitions:
                return status
            if status.state not in {"starting", "running"} or time.monotonic() > give_up_at:
                found = f"found {len(running)}"
                if starting := sum(replica.state == "starting" for replica in status.replicas):
                    found += f" and {starting} that start (one that waits for a CPU or GPU: ray status)"
                message = (
                    f"expected {replicas} running replicas of fleet {self.name!r}, {found}; "
                    f"the fleet is {status.state}: {status.message or 'see undertow status'}"
                )
                raise Refused(message)
            time.sleep(0.1)

    def _require_size(self, replicas: int) -> None:
        fleet, partitions = self.recipe().fleet, self.status().partitions
        if fleet.max_replicas and not fleet.min_replicas <= replicas <= fleet.max_replicas:
            message = (
                f"fleet {self.name!r} follows its lag within {fleet.min_replicas} and {fleet.max_replicas} replicas "
                f"(fleet.min_replicas, fleet.max_replicas), found {replicas}"
            )
            raise Refused(message)
        if replicas > max(partitions, fleet.replicas):
            message = (
                f"fleet {self.name!r} reads {counted(partitions, 'partition')}: expected at most as many replicas, "
                f"found {replicas}, of which {replicas - partitions} would read nothing; add partitions to its topic, "
                "or set fleet.standbys for replicas that wait to take over"
            )
            raise Refused(message)

    def drain(self) -> None:
        """Order every replica to drain. Does not wait: a controller that is late gets the order when it is back."""
        self._controller.drain.remote()

    def drain_and_wait(self, timeout_s: float) -> FleetStatus:
        """Drain, and return the last status when all replicas have ended. Raises `Refused` after `timeout_s`."""
        return self._drain_and_look(self.status, timeout_s)

    def end(self, timeout_s: float) -> Handshake:
        """Drain a fleet of any build, and return its last answer. Raises `Refused` after `timeout_s`."""
        return self._drain_and_look(self.handshake, timeout_s)

    def _drain_and_look(self, look: Callable[[], S], timeout_s: float) -> S:
        self.drain()
        give_up_at = time.monotonic() + timeout_s
        seen = look()
        while seen.state not in ENDS:
            if time.monotonic() > give_up_at:
                message = f"fleet {self.name!r} is still {seen.state} after {timeout_s:.0f} s: {seen.message}"
                raise Refused(message)
            time.sleep(LOOK_EVERY_S)
            try:
                seen = look()
            except Refused:  # gone: the foreground command has seen the end and removed it
                break
        return seen

    def recipe(self) -> StreamRecipe:
        """Return the recipe it was started with."""
        self._meet()
        recipe: StreamRecipe = self._answer(self._controller.recipe.remote())
        return recipe

    def remove(self) -> None:
        """End the controller of a fleet that has drained or failed."""
        ray.kill(self._controller, no_restart=True)

    def _meet(self, timeout_s: float = ANSWER_S, stops: Callable[[], bool] = lambda: False) -> None:
        """Check once that the controller is of our build."""
        if self._is_ours:
            return
        handshake = self.handshake(timeout_s, stops)
        if not handshake.is_ours:
            message = f"fleet {self.name!r}: {foreign(handshake.build)}"
            raise Refused(message)
        self._is_ours = True

    def _answer(self, asked: Any, timeout_s: float = ANSWER_S, stops: Callable[[], bool] = lambda: False) -> Any:
        """Wait for the controller's answer."""
        give_up_at = time.monotonic() + timeout_s
        try:
            while not ray.wait([asked], timeout=max(0.0, min(0.5, give_up_at - time.monotonic())))[0]:
                if stops():
                    message = f"told to end while the controller of fleet {self.name!r} is late"
                    raise Unavailable(message)
                if time.monotonic() >= give_up_at:
                    message = (
                        f"the controller of fleet {self.name!r} has not answered for {timeout_s:.0f} s; `ray status` "
                        "shows whether its node is alive and has a CPU to spare"
                    )
                    raise Unavailable(message)
            return ray.get(asked)
        except RayActorError as error:
            message = f"the controller of fleet {self.name!r} is gone: {str(error).splitlines()[0]}"
            raise Refused(message) from error
