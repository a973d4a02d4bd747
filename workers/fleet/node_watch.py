"""Poll Ray's nodes in a thread: which have room for a replica, and which are draining.

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
    """The nodes as of the last poll; empty before the first."""

    def __init__(self, *, num_cpus: float, num_gpus: float) -> None:
        """Start to poll."""
        self._needs = {"CPU": num_cpus, "GPU": num_gpus}
        self.roomy: frozenset[str] = frozenset()
        """Live nodes whose total resources suffice for a replica."""
        self.draining: frozenset[str] = frozenset()
        """Nodes that Ray is draining."""
        self._can_tell = True
        start_daemon("the look at the nodes", self._watch)

    def _watch(self) -> float:
        if ray.is_initialized():  # else this process has left Ray, and is about to end
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
