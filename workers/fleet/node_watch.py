"""The nodes of Ray, looked at again and again: which have room for a replica, and which are about to go.

In: what a replica needs. Out: two sets of node ids. Runs in a thread of its own, since Ray may be slow to answer. Knows
nothing of replicas.
"""

import logging
import threading
import time

import ray

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
        threading.Thread(target=self._watch, name="nodes", daemon=True).start()

    def _watch(self) -> None:
        said = ""
        while True:
            try:
                self._look()
                said = ""
            except Exception as error:
                if said != (said := repr(error)):
                    log.exception("Ray does not say which nodes there are and which drain; it is asked again")
            time.sleep(EVERY_S)

    def _look(self) -> None:
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        self.roomy = frozenset(
            node
            for node, resources in alive.items()
            if all(resources.get(name, 0.0) >= amount for name, amount in self._needs.items())
        )
        # Ray says it nowhere in its public API. Where it is gone, replicas on such nodes are replaced when they die.
        from ray._private.state import state  # noqa: PLC0415

        self.draining = frozenset(state.get_draining_nodes())
