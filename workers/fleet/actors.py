"""The Ray shell of the fleet: every Ray call of the running stream is made here.

In: a recipe. Out: detached, named actors: one controller, and replicas that the controller replaces.
Knows no rule: what is decided stands in `controller`, `plan` and `replica`.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from schemas.records import Partition
from workers.adapters.kafka_admin import find_topic
from workers.adapters.kafka_sign import KafkaSign
from workers.fleet.autoscale import Policy
from workers.fleet.claim import Beat, Sign
from workers.fleet.controller import Controller
from workers.fleet.flood import FloodLimit
from workers.fleet.lookout import Lookout
from workers.fleet.metrics import Emitter, emit_replica, fleet_readings
from workers.fleet.replica import Replica
from workers.fleet.status import FleetSize, FleetStatus, ReplicaStatus
from workers.fleet.topic_watch import TopicWatch
from workers.logs import log_to_stderr
from workers.telling import open_tell
from workers.wiring import StreamRecipe, stream_openers

log = logging.getLogger(__name__)

ENDS = frozenset({"drained", "failed"})
TICK_S = 0.1
NODES_EVERY_S = 1.0
BURIAL_S = 10.0
"""Within it a controller has seen that a replica has ended, if there is one."""


def controller_name(fleet: str) -> str:
    """Return the name that a fleet's controller is found by."""
    return f"{fleet}:controller"


class ReplicaActor:
    """One process, one model of each artifact. The data threads run the streams; those of group `control` answer."""

    def __init__(self, name: str, recipe: StreamRecipe) -> None:
        """Open nothing yet, so that the first heartbeat is answered while the model loads."""
        ring = log_to_stderr(recipe.tell.log, fleet=recipe.fleet, replica=name)
        openers = stream_openers(recipe, new_tell=partial(open_tell, recipe.tell, name))
        self._replica = Replica(name, openers, drain_timeout_s=recipe.drain_timeout_s, lines=ring.lines)
        self._ray_node = ray.get_runtime_context().get_node_id()
        on_sigterm(self._leave)
        emit_replica(recipe.fleet, self._replica.status)

    def _leave(self) -> None:
        """Hand over and end, as a process does that is told to."""
        self._replica.drain(self._replica.status().size)
        while self._replica.status().state != "ended":
            time.sleep(TICK_S)
        time.sleep(BURIAL_S)
        os._exit(0)

    def run(self) -> None:
        """Occupy the data thread until drained."""
        self._replica.run()

    def status(self) -> ReplicaStatus:
        """Answer the heartbeat."""
        return replace(self._replica.status(), ray_node=self._ray_node)

    def assign(self, partitions: frozenset[Partition], size: FleetSize) -> None:
        """Read exactly these."""
        self._replica.assign(partitions, size)

    def drain(self, size: FleetSize) -> None:
        """Finish."""
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
_replica_actor: Any = ray.remote(num_cpus=0, max_restarts=0, concurrency_groups={"control": 2})(ReplicaActor)


def remove_orphans(fleet: str) -> None:
    """End the replicas of a fleet whose controller is gone for good: they may read with other settings than ours."""
    for full in ray.util.list_named_actors():
        if full.startswith(f"{fleet}:replica-"):
            with contextlib.suppress(ValueError):  # it has just ended
                ray.kill(ray.get_actor(full), no_restart=True)


class RayReplicas:
    """The replicas of one fleet, as Ray actors found by name. Implements `Replicas`."""

    def __init__(self, recipe: StreamRecipe) -> None:
        """Nothing is started yet."""
        self._recipe, self._prefix = recipe, f"{recipe.fleet}:replica-"
        self._actors: dict[str, ActorHandle] = {}
        self._asked: dict[str, ray.ObjectRef[ReplicaStatus]] = {}
        self._draining_nodes: frozenset[str] = frozenset()
        threading.Thread(target=self._watch_nodes, name="nodes", daemon=True).start()

    def names(self) -> Iterable[str]:
        """Find the living by their names."""
        for full in ray.util.list_named_actors():
            if full.startswith(self._prefix):
                name = full.removeprefix(f"{self._recipe.fleet}:")
                try:
                    self._actors[name] = ray.get_actor(full)
                except ValueError:  # it has died since; a controller that fails to begin is not started again
                    continue
                yield name

    def spawn(self, name: str) -> None:
        """Start an actor and its loop."""
        actor = _replica_actor.options(
            name=f"{self._recipe.fleet}:{name}",
            lifetime="detached",
            num_cpus=self._recipe.num_cpus,
            num_gpus=self._recipe.num_gpus,
        ).remote(name, self._recipe)
        actor.run.remote()
        self._actors[name] = actor

    def look(self, name: str) -> ReplicaStatus | str | None:
        """Collect the outstanding heartbeat, if it is there, and ask for the next one."""
        asked = self._asked.get(name)
        if asked is None:
            self._asked[name] = self._actors[name].status.options(**CONTROL).remote()
            return None
        if not ray.wait([asked], timeout=0)[0]:
            return None
        del self._asked[name]
        try:
            answer: ReplicaStatus = ray.get(asked)
        except ActorUnavailableError:
            return None
        except ActorDiedError:
            return "its process died"
        except RayError as error:
            return str(error).splitlines()[0]
        self._asked[name] = self._actors[name].status.options(**CONTROL).remote()
        return answer

    def draining_nodes(self) -> frozenset[str]:
        """Return what the thread that asks for it has last seen."""
        return self._draining_nodes

    def _watch_nodes(self) -> None:
        """Ask Ray each second which nodes are about to go. It says so nowhere in its public API."""
        while True:
            try:
                from ray._private.state import state  # noqa: PLC0415 private: where it is gone, only this is lost

                self._draining_nodes = frozenset(state.get_draining_nodes())
            except Exception:
                log.exception("Ray does not say which nodes drain; replicas on them are replaced only when they die")
                return
            time.sleep(NODES_EVERY_S)

    def assign(self, name: str, partitions: frozenset[Partition], size: FleetSize) -> None:
        """Send the order; the next heartbeat tells when it has been followed, the one under way may not."""
        self._asked.pop(name, None)
        self._actors[name].assign.options(**CONTROL).remote(partitions, size)

    def drain(self, name: str, size: FleetSize) -> None:
        """Send the order; repeating it changes nothing."""
        self._actors[name].drain.options(**CONTROL).remote(size)

    def remove(self, name: str) -> None:
        """Kill the process; a stopped one is dead to Ray at once and may live some seconds more."""
        self._asked.pop(name, None)
        ray.kill(self._actors.pop(name), no_restart=True)


class ControllerActor:
    """The one controller of a fleet; after its own death Ray starts it again and it finds its replicas by name."""

    def __init__(self, recipe: StreamRecipe, sign: Sign) -> None:
        """Begin to tick, to show the sign, and to look at the topic."""
        ring = log_to_stderr(recipe.tell.log, fleet=recipe.fleet)
        self._recipe = recipe
        self._controller = Controller(
            fleet=recipe.fleet,
            partitions=recipe.partitions,
            wanted=recipe.replicas,
            standbys=recipe.standbys,
            policy=_policy(recipe),
            replicas=RayReplicas(recipe),
            heartbeat_timeout_s=recipe.heartbeat_timeout_s,
            clock=time.monotonic,
            lookout=Lookout(time.monotonic, limit=_flood_limit(recipe), lines=ring.lines),
        )
        self._fault: str | None = None
        self._has_ended = False
        self._beat = Beat(sign, write=KafkaSign(recipe.kafka).write)
        TopicWatch(
            recipe.topic_id,
            ask=lambda: find_topic(recipe.kafka),
            grow=self._controller.grow,
            fail=self._controller.fail,
        ).start(recipe.look_for_partitions_s)
        threading.Thread(target=self._tick, name="controller", daemon=True).start()

    def status(self) -> FleetStatus:
        """Say how the fleet is. Its end is told when its sign has been taken away: then the next one may start."""
        status = self._controller.status()
        if status.state in ENDS and not self._has_ended:
            status = replace(status, state="draining")
        return status if self._fault is None else replace(status, message=self._fault)

    def recipe(self) -> StreamRecipe:
        """Return what the fleet was started with."""
        return self._recipe

    def drain(self) -> None:
        """Let all replicas finish."""
        self._controller.drain()

    def scale(self, replicas: int) -> None:
        """Want so many replicas from now on."""
        self._controller.scale(replicas)

    def _tick(self) -> None:
        """Tick for as long as there is a fleet. A tick that fails is told in the status and tried again."""
        emitter = Emitter()
        while self._controller.status().state not in ENDS:
            try:
                self._controller.tick()
                emitter.emit(fleet_readings(self._controller.status()))
                self._fault = None
            except Exception as error:
                log.exception("a tick of the controller failed")
                self._fault = f"the controller's last tick failed: {type(error).__name__}: {error}"
            time.sleep(TICK_S)
        self._beat.stop(is_last=True)
        self._has_ended = True


def _policy(recipe: StreamRecipe) -> Policy | None:
    if not recipe.max_replicas:
        return None
    return Policy(
        least=recipe.min_replicas,
        most=recipe.max_replicas,
        catch_up_s=recipe.catch_up_s,
        up_delay_s=recipe.scale_up_s,
        down_delay_s=recipe.scale_down_s,
    )


def _flood_limit(recipe: StreamRecipe) -> FloodLimit | None:
    if recipe.max_reject_ratio is None:
        return None
    return FloodLimit(
        max_ratio=recipe.max_reject_ratio,
        window_s=recipe.reject_window_s,
        min_records=recipe.reject_window_records,
    )


controller_actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=8)(ControllerActor)
