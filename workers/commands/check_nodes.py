"""Check that each node of a Ray cluster has what replicas need: the offline log, the artifacts, this code.

In: what is expected. Out: the nodes' names, or `Refused`, naming what each node lacks. Changes nothing.
"""

from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from undertow.adapters.offline_root import LogIdentity
from undertow.artifact.format.manifest import read_manifest, read_weights
from undertow.core.errors import Refused, UndertowError
from undertow.storage.store_path import AnyPath

ANSWER_S = 60.0
"""How long a node may take to answer; it may have to start a process first. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNeeds:
    """What a replica on any node needs."""

    artifacts: tuple[tuple[AnyPath, str], ...]
    """(absolute folder, space id) of each artifact."""
    log: LogIdentity | None
    """None if no log is written, or none exists yet."""

    def fault(self) -> str:
        """Return what this process does not see on its node; an empty text if it sees everything."""
        try:
            if self.log is not None:
                self.log.require()
            for path, space in self.artifacts:
                manifest = read_manifest(path)
                read_weights(path, manifest)
                if manifest.space != space:
                    return f"{path} is of space {manifest.space[:8]} there, expected {space[:8]}"
        except UndertowError as error:
            return str(error)
        return ""


def look_on_nodes(expected: NodeNeeds) -> tuple[str, ...]:
    """Return the hosts of all nodes. Ray must have been joined. Raises `Refused` if a node lacks something."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [(node["NodeManagerHostname"], _ask(node["NodeID"], expected)) for node in nodes]
    faults = [f"{host}: {fault}" for host, answer in asked if (fault := _answer(answer))]
    if faults:
        message = f"{len(faults)} of {len(nodes)} nodes lack what replicas need there; " + "; ".join(faults)
        raise Refused(message)
    return tuple(host for host, _ in asked)


def _fault(expected: NodeNeeds) -> str:
    return expected.fault()


_remote_fault: Any = ray.remote(num_cpus=0, max_retries=0)(_fault)


def _ask(node: str, expected: NodeNeeds) -> Any:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return _remote_fault.options(scheduling_strategy=there).remote(expected)


def _answer(asked: Any) -> str:
    try:
        return str(ray.get(asked, timeout=ANSWER_S))
    except GetTimeoutError:
        return f"has not answered for {ANSWER_S:.0f} s"
    except RayError as error:  # the package is missing there, or another version
        return " ".join(str(error).split())[-200:]
