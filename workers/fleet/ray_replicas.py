"""The controller's access to the replicas as Ray actors.

In: a recipe, orders. Out: detached, named actors, and their answers. Knows no rule: decisions are made in `controller`
and `plan`.
"""

import contextlib
import re
from collections.abc import Iterable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

from undertow.fleet.build import foreign, stamped
from undertow.fleet.handshake import Handshake, hear
from undertow.fleet.node_watch import NodeWatch
from undertow.fleet.replica_actor import CONTROL, replica_actor
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import QuarantineOrder
from undertow.wiring.root import StreamRecipe

NODE_LABEL = "ray.io/node-id"


def remove_orphans(fleet: str) -> None:
    """Kill the replicas of a fleet whose controller is gone for good: their settings may differ from ours."""
    for full in orphans(fleet):
        with contextlib.suppress(ValueError):  # it has just ended
            ray.kill(ray.get_actor(full), no_restart=True)


def orphans(fleet: str) -> list[str]:
    """Return the names of all replicas of a fleet: orphans where it has no controller."""
    own = re.compile(rf"{re.escape(fleet)}:replica-[^:]*")  # not those of a fleet that is named `<fleet>:replica-...`
    return [full for full in ray.util.list_named_actors() if own.fullmatch(full)]


class RayReplicas:
    """The replicas of one fleet, as Ray actors found by name. Implements `Replicas`."""

    def __init__(self, recipe: StreamRecipe) -> None:
        """Start no replica yet."""
        self._recipe = recipe
        self._actors: dict[str, ActorHandle] = {}
        self._asked: dict[str, ray.ObjectRef[Any]] = {}
        self._met: set[str] = set()
        self._nodes = NodeWatch(num_cpus=recipe.fleet.num_cpus, num_gpus=recipe.fleet.num_gpus)

    def names(self) -> Iterable[str]:
        """Find the living replicas by name, and make sure that they run: a controller may have died after `spawn`."""
        for full in orphans(self._recipe.fleet.name):
            name = full.removeprefix(f"{self._recipe.fleet.name}:")
            try:
                self._actors[name] = ray.get_actor(full)
            except ValueError:  # it has died since; Ray does not restart a controller whose start fails
                continue
            self._actors[name].run.remote(stamped(self._recipe))
            yield name

    def spawn(self, name: str, avoid: frozenset[str]) -> None:
        """Start an actor and its loop."""
        actor = replica_actor.options(
            name=f"{self._recipe.fleet.name}:{name}",
            lifetime="detached",
            num_cpus=self._recipe.fleet.num_cpus,
            num_gpus=self._recipe.fleet.num_gpus,
            scheduling_strategy=_anywhere_but(avoid),
        ).remote(name)
        actor.run.remote(stamped(self._recipe))
        self._actors[name] = actor

    def look(self, name: str) -> ReplicaStatus | str | None:
        """Return the pending heartbeat's answer, if it has arrived, and request the next one.

        The first answer contains the replica's build; one of another build is asked for nothing more.
        """
        asked = self._asked.pop(name, None)
        if asked is None:
            self._ask(name)
            return None
        if not ray.wait([asked], timeout=0)[0]:
            self._asked[name] = asked
            return None
        try:
            answer = self._read(name, ray.get(asked))
        except ActorUnavailableError:
            return None
        except RayError as error:
            return last_words(error)
        if not isinstance(answer, ReplicaStatus) or answer.state != "ended":
            self._ask(name)
        return answer

    def _read(self, name: str, answer: Any) -> ReplicaStatus | None:
        """Return a status, None for the first answer, which is the handshake, of a replica of our build."""
        if name in self._met:
            status: ReplicaStatus = answer
            return status
        handshake = hear(answer)
        if not handshake.is_ours:
            return _stranger(name, handshake)
        self._met.add(name)
        return None

    def _ask(self, name: str) -> None:
        actor = self._actors[name]
        question = actor.status if name in self._met else actor.hello
        self._asked[name] = question.options(**CONTROL).remote()

    def draining_nodes(self) -> frozenset[str]:
        """Return them as of the last poll."""
        return self._nodes.draining

    def nodes(self) -> frozenset[str]:
        """Return them as of the last poll."""
        return self._nodes.roomy

    def assign(self, name: str, partitions: frozenset[Partition], size: FleetSize, quarantine: QuarantineOrder) -> None:
        """Send the order; the pending heartbeat may not reflect it, the next one does."""
        self._asked.pop(name, None)
        self._actors[name].assign.options(**CONTROL).remote(partitions, size, quarantine)

    def drain(self, name: str, size: FleetSize) -> None:
        """Send the order. Idempotent."""
        self._actors[name].drain.options(**CONTROL).remote(size)

    def remove(self, name: str) -> None:
        """Kill the process; a stopped one (SIGSTOP) is dead to Ray at once and may live some seconds more."""
        self._asked.pop(name, None)
        self._met.discard(name)
        ray.kill(self._actors.pop(name), no_restart=True)


def _anywhere_but(avoid: frozenset[str]) -> Any:
    """Return a scheduling strategy: one of these nodes only where no other has room."""
    return NodeLabelSchedulingStrategy(hard={}, soft={NODE_LABEL: NotIn(*sorted(avoid))}) if avoid else "DEFAULT"


def last_words(error: RayError) -> str:
    """Return why a process died, as far as Ray knows."""
    if not isinstance(error, ActorDiedError):
        return str(error).splitlines()[0]
    if not error.actor_init_failed:
        return "its process died"
    return f"its process could not begin: {str(error).strip().splitlines()[-1]}"


def _stranger(name: str, handshake: Handshake) -> ReplicaStatus:
    """Return a status for a replica of another build."""
    return ReplicaStatus(
        name=name,
        state="ended",
        node=handshake.host,
        ray_node=handshake.ray_node,
        error=f"Refused: {foreign(handshake.build)}",
        fault="refused",
    )
