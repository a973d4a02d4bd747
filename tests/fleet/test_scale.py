"""A request for another size, before a scripted controller in a real Ray."""

from types import SimpleNamespace

import pytest
import ray

from undertow.core.errors import Refused
from undertow.fleet.controller_actor import controller_name
from undertow.fleet.handle import Fleet
from undertow.fleet.handshake import say_hello
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.settings.sections import FleetSettings
from undertow.stream.counts import Counts

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


class ScriptedController:
    """Has two replicas of four partitions; of further ones that are ordered it says that they start."""

    def __init__(self):
        self.wanted, self.orders = 2, []

    def hello(self):
        return say_hello(state="running")

    def recipe(self):
        return SimpleNamespace(fleet=FleetSettings(replicas=2))

    def scale(self, replicas):
        self.wanted = replicas
        self.orders.append(replicas)

    def all_orders(self):
        return self.orders

    def status(self):
        """Another order comes after three looks at a size of three."""
        if self.wanted == 3:
            self.orders.append("look")
            self.wanted = 1 if self.orders.count("look") > 3 else 3
        states = [*["running"] * 2, *["starting"] * (self.wanted - 2)]
        replicas = tuple(ReplicaStatus(name=f"r{n}", state=state) for n, state in enumerate(states))
        return FleetStatus(
            name="f", state="running", replicas=replicas, wanted=self.wanted, partitions=4, failovers=0, counts=Counts()
        )


@pytest.fixture
def fleet(topic_name):
    name = controller_name(topic_name)
    actor = ray.remote(num_cpus=0)(ScriptedController).options(name=name, lifetime="detached").remote()
    fleet = Fleet("f", actor)
    yield fleet
    fleet.remove()


def test_more_replicas_than_partitions_are_refused_before_anything_is_ordered(fleet):
    with pytest.raises(Refused, match=r"'f' reads 4 partitions: expected at most as many replicas, found 100000, of"):
        fleet.scale(100_000, timeout_s=1.0)
    assert ray.get(fleet._controller.all_orders.remote()) == []


def test_who_is_overruled_by_another_order_is_told_at_once(fleet):
    with pytest.raises(Refused, match=r"expected 3 replicas, but fleet 'f' has wanted 1 since: by another order"):
        fleet.scale(3, timeout_s=60.0)


def test_who_waits_in_vain_is_told_how_many_still_start_and_what_they_may_lack(fleet):
    with pytest.raises(Refused, match=r"found 2 and 2 that start \(one that waits for a CPU or GPU: ray status\)"):
        fleet.scale(4, timeout_s=0.5)
