"""The nodes of Ray, looked at again and again: which have room for a replica, and which are about to go.

In: what a replica needs. Out: two sets of node ids. Runs in a thread of its own, since Ray may be slow to answer. Knows
nothing of replicas.
"""

import logging

import ray

from undertow.fleet.daemon import start_daemon
from undertow.ray_session.internals import draining_nodes

log = logging.getLogger(__name__)

EVERY_S = 1.0


class NodeWatch:
    """Knows what it has last seen; nothing until then."""

    def __init__(self, *, num_cpus: float, num_gpus: float) -> None:
        """Begin to look."""
        self._needs = {"CPU": num_cpus, "GPU": num_gpus}
        self.roomy: frozenset[str] = frozenset()
        """Those that live and could hold a replica when nothing else is there."""
        self.draining: frozenset[str] = frozenset()
        """Those that are about to go."""
        self._can_tell = True
        start_daemon("the look at the nodes", self._watch)

    def _watch(self) -> float:
        if ray.is_initialized():  # else this process has left it, and waits for its own end
            self._look()
        return EVERY_S

    def _look(self) -> None:
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        self.roomy = frozenset(
            node
            for node, resources in alive.items()
            if all(resources.get(name, 0.0) >= amount for name, amount in self._needs.items())
        )
        if (draining := draining_nodes()) is not None:
            self.draining = draining
        elif self._can_tell:
            self._can_tell = False
            log.warning("this release of Ray does not say which nodes drain; replicas there are replaced when they die")
