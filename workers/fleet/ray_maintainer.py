"""The controller's maintainer as a Ray actor, made when its first run is due.

In: a recipe, orders. Out: a named actor that ends with its controller, and its answers. Knows no rule: when it runs is
decided in `maintenance`.
"""

from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from undertow.fleet.build import stamped
from undertow.fleet.maintain_status import MaintainReport
from undertow.fleet.maintainer_actor import maintainer_actor
from undertow.fleet.ray_replicas import last_words
from undertow.wiring.root import StreamRecipe


def maintainer_name(fleet: str) -> str:
    """Return the actor name of a fleet's maintainer."""
    return f"{fleet}:maintainer"


class RayMaintainer:
    """The maintainer of one fleet. Implements `Maintainer`.

    It is not detached: Ray ends it with the controller that made it, so that nothing has to be found again. Its name
    keeps it the only one while a former controller's is still ending. It runs on the controller's node, if that has
    room: there the log is seen, since the controller renews the fleet's lease in it.
    """

    def __init__(self, recipe: StreamRecipe) -> None:
        """Start no process yet."""
        self._recipe = recipe
        self._actor: ActorHandle | None = None
        self._asked: ray.ObjectRef[Any] | None = None

    def begin(self) -> bool:
        """Start an actor if there is none, and a run of it."""
        if self._actor is None:
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            name = maintainer_name(self._recipe.fleet.name)
            try:
                self._actor = maintainer_actor.options(name=name, scheduling_strategy=here).remote()
            except ValueError:  # the name is taken
                return False
        self._asked = self._actor.maintain.remote(stamped(self._recipe))
        return True

    def look(self) -> MaintainReport | str | None:
        """Return the answer, if it has arrived. After a failure the next run gets a new process."""
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return None
        asked, self._asked = self._asked, None
        try:
            found: MaintainReport = ray.get(asked)
        except RayTaskError as error:
            self.end()
            return f"{type(error.cause).__name__}: {error.cause}"
        except RayError as error:
            self.end()
            return last_words(error)
        return found

    def end(self) -> None:
        """Kill the process; one that is dead already is forgotten."""
        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
        self._actor = self._asked = None
