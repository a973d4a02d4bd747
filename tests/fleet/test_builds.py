"""Two builds of Undertow in one Ray: each is known by name, neither misreads the other, and a drain works."""

import pickle
from types import SimpleNamespace

import pytest
import ray

from undertow.core.errors import Refused
from undertow.fleet import build
from undertow.fleet.build import BUILD, stamped
from undertow.fleet.controller_actor import controller_name
from undertow.fleet.handle import Fleet
from undertow.fleet.handshake import Handshake, hear, say_hello
from undertow.fleet.launch import attach, find_fleet
from undertow.fleet.ray_replicas import RayReplicas, orphans
from undertow.settings.sections import FleetSettings

OTHER = "0.0.9+0ld0ld0l"
read: list[str] = []


def note(text):
    read.append(text)
    return text


class Noted:
    def __reduce__(self):
        return note, ("the recipe",)


def test_what_carries_another_builds_stamp_is_refused_by_name_before_it_is_read(monkeypatch):
    crossing = pickle.dumps(stamped(Noted()))
    assert pickle.loads(crossing).value == "the recipe"
    read.clear()
    monkeypatch.setattr(build, "BUILD", OTHER)
    with pytest.raises(Refused, match="one build of Undertow in all processes, found") as refused:
        pickle.loads(crossing)
    assert BUILD in str(refused.value)
    assert OTHER in str(refused.value)
    assert read == []


def test_a_greeting_is_read_whatever_a_later_or_an_earlier_build_says():
    assert hear(say_hello(state="running", windows=3)).is_ours
    said = {"build": OTHER, "state": "draining", "a later key": [1]}
    assert hear(said) == Handshake(build=OTHER, state="draining")
    assert not hear({}).is_ours


# Actors of another build in a real Ray --------------------------------------------------------------------------------


class OldController:
    """What every build has, and answers that ours could not read."""

    def __init__(self):
        self.state, self.replicas_left = "running", 3

    def hello(self):
        self.replicas_left -= self.state == "draining"
        self.state = self.state if self.replicas_left else "drained"
        return {"build": OTHER, "state": self.state, "windows": 7, "rejects": 1}

    def drain(self):
        self.state = "draining"

    def status(self):
        return "fields in another order"

    def recipe(self):
        return self.status()


class OldReplica:
    """Lives on a node where another build is installed."""

    def hello(self):
        return {"build": OTHER, "state": "starting", "host": "far", "ray_node": "ab" * 28}

    def status(self):
        return "fields in another order"

    def run(self, _recipe):
        raise AssertionError


@pytest.fixture
def named():
    """Start an actor of this class under a name, ended with the test."""
    started = []

    def start(kind, name):
        actor = ray.remote(num_cpus=0, concurrency_groups={"control": 1})(kind)
        started.append(actor.options(name=name, lifetime="detached").remote())
        return started[-1]

    yield start
    for actor in started:
        ray.kill(actor)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_fleet_of_another_build_tells_its_name_and_drains(named, topic_name):
    named(OldController, controller_name(topic_name))
    fleet = find_fleet(FleetSettings(name=topic_name))
    for ask in (
        fleet.status,
        fleet.recipe,
        lambda: fleet.scale(3, 1.0),
        lambda: attach(SimpleNamespace(fleet=FleetSettings(name=topic_name))),
    ):
        with pytest.raises(Refused, match=r"found 0\.0\.9.*ended by: undertow drain"):
            ask()
    assert fleet.end(30.0) == Handshake(build=OTHER, state="drained", windows=7, rejects=1)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_fleet_older_than_greetings_is_refused_as_well(named, topic_name):
    class Older:
        def status(self):
            return "fields in another order"

    named(Older, controller_name(topic_name))
    with pytest.raises(Refused, match="an older build"):
        Fleet(topic_name, ray.get_actor(controller_name(topic_name))).status()


def look_until(replicas, name):
    while (answer := replicas.look(name)) is None:
        pass
    return answer


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_replica_on_a_node_of_another_build_is_refused_by_the_name_of_both(named, topic_name):
    named(OldReplica, f"{topic_name}:replica-1")
    replicas = RayReplicas(SimpleNamespace(fleet=FleetSettings(name=topic_name, num_cpus=0)))
    assert list(replicas.names()) == ["replica-1"]
    seen = look_until(replicas, "replica-1")
    assert (seen.state, seen.fault, seen.node, seen.ray_node) == ("ended", "refused", "far", "ab" * 28)
    assert f"found {OTHER} there and {BUILD} here" in seen.error
    with pytest.raises(Refused, match="lost its controller for good, and 1 of its replicas are left"):
        find_fleet(FleetSettings(name=topic_name))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_replica_whose_process_cannot_begin_says_why(named, topic_name):
    class Broken:
        def __init__(self):
            raise ModuleNotFoundError("No module named 'undertow.fleet.later'")

        def hello(self):
            pass

        def run(self, _recipe):
            pass

    named(Broken, f"{topic_name}:replica-1")
    replicas = RayReplicas(SimpleNamespace(fleet=FleetSettings(name=topic_name, num_cpus=0)))
    (name,) = replicas.names()
    assert look_until(replicas, name) == (
        "its process could not begin: ModuleNotFoundError: No module named 'undertow.fleet.later'"
    )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_fleet_whose_name_begins_like_the_replicas_of_another_has_none_of_its_own_taken_for_orphans(
    named, topic_name
):
    other = f"{topic_name}:replica-s"
    named(OldController, controller_name(other))
    named(OldReplica, f"{other}:replica-1")
    named(OldReplica, f"{topic_name}:replica-1-abcdef")
    assert orphans(topic_name) == [f"{topic_name}:replica-1-abcdef"]
    assert orphans(other) == [f"{other}:replica-1"]
