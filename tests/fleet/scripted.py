"""A controller over scripted replicas, with a clock that the test winds."""

import itertools
from dataclasses import replace
from typing import Any

from undertow.fleet.controller import Controller
from undertow.fleet.status import ReplicaStatus
from undertow.schemas.records import Partition
from undertow.settings.sections import FleetSettings
from undertow.stream.counts import Counts

PARTITIONS = tuple(Partition("windows", index) for index in range(8))


class ScriptedReplicas:
    """Replicas that do what they are told when the test says so, and die, hang and come back on demand."""

    def __init__(self) -> None:
        self.living: dict[str, ReplicaStatus] = {}
        self.dead: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.draining: set[str] = set()
        self.slow: dict[str, ReplicaStatus] = {}
        self.late: dict[str, ReplicaStatus] = {}
        self.going: frozenset[str] = frozenset()
        self.places = ["node-a", "node-b"]
        self.full: frozenset[str] = frozenset()

    def nodes(self):
        return frozenset(self.places)

    def place(self, avoid):
        """On the emptiest node that stays, as Ray would; on one that is to be avoided where there is no other."""
        counts = {node: sum(one.ray_node == node for one in self.living.values()) for node in self.places}
        there = [node for node in self.places if node not in self.going | self.full]
        return min([node for node in there if node not in avoid] or there, key=lambda node: counts[node])

    def names(self):
        return tuple(self.living)

    def spawn(self, name, avoid):
        assert name not in self.living
        assert name not in self.dead
        self.living[name] = ReplicaStatus(name=name, state="starting", ray_node=self.place(avoid))

    def look(self, name):
        if name in self.dead:
            return self.dead[name]
        if name in self.late:
            return self.late.pop(name)
        return None if name in self.slow or name in self.hanging else self.living[name]

    def draining_nodes(self):
        return self.going

    def assign(self, name, partitions, size, quarantine):
        self.slow.pop(name, None)
        self.late.pop(name, None)
        if name in self.living:
            self.living[name] = replace(self.living[name], wanted=partitions, size=size, quarantine=quarantine)

    def drain(self, name, size):
        self.draining.add(name)
        if name in self.living:
            self.living[name] = replace(self.living[name], size=size)

    def remove(self, name):
        self.living.pop(name, None)
        self.dead.pop(name, None)
        self.hanging.discard(name)
        self.slow.pop(name, None)
        self.late.pop(name, None)

    # What happens to them:

    def obey(self, name):
        status = self.living[name]
        if name in self.draining and status.state != "draining":
            self.living[name] = replace(status, state="draining", wanted=status.held)
        elif name in self.draining:
            self.living[name] = replace(status, state="ended", held=frozenset())
        else:
            self.living[name] = replace(status, state="running", held=status.wanted)

    def answer_slowly(self, name):
        """What it says of this moment arrives after others."""
        self.slow[name] = self.living[name]

    def answers_arrive(self):
        self.late, self.slow = {**self.late, **self.slow}, {}

    def lose_node(self):
        """The node that was about to go is gone, with all on it, and another one comes."""
        (gone,) = self.going
        self.kill_node(gone)
        self.places.append(f"{gone}+")
        self.going = frozenset()

    def kill_node(self, gone):
        """It is gone, with all on it, and nobody was told before."""
        for name in [name for name, one in self.living.items() if one.ray_node == gone]:
            self.die(name)
        self.places.remove(gone)

    def obey_all(self):
        for name in list(self.living):
            if name not in self.hanging:
                self.obey(name)

    def work(self, name):
        self.living[name] = replace(self.living[name], counts=self.living[name].counts + Counts(windows=1))

    def die(self, name, reason="its process died"):
        self.dead[name] = reason
        del self.living[name]


class Scene:
    """A controller over scripted replicas, with a clock that the test winds."""

    def __init__(self, nodes: tuple[str, ...] = (), **fleet: Any) -> None:
        self.now, self.replicas, self.fleet = 0.0, ScriptedReplicas(), FleetSettings(name="f", **fleet)
        self.replicas.places = [*nodes] or self.replicas.places
        self.topic = frozenset(PARTITIONS)
        self.numbers = itertools.count(1)
        self.start_controller()

    def start_controller(self):
        self.controller = Controller(
            fleet=self.fleet,
            partitions=PARTITIONS,
            replicas=self.replicas,
            clock=lambda: self.now,
            new_name=lambda _living: f"replica-{next(self.numbers)}",
        )

    def add_partitions(self, count):
        """As a look at the topic tells it."""
        self.topic |= {Partition("windows", len(self.topic) + n) for n in range(count)}
        self.controller.grow(self.topic)

    def settle(self, rounds=8):
        for _ in range(rounds):
            self.controller.tick()
            self.replicas.obey_all()
        self.controller.tick()

    def readers(self):
        return {p: [n for n, s in self.replicas.living.items() if p in s.held] for p in self.topic}
