import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.records import Partition
from workers.fleet.controller import ENDS_WITHOUT_PROGRESS, Controller
from workers.fleet.status import FleetSize, ReplicaStatus

PARTITIONS = tuple(Partition("windows", index) for index in range(8))


class ScriptedReplicas:
    """Replicas that do what they are told when the test says so, and die, hang and come back on demand."""

    def __init__(self) -> None:
        self.living: dict[str, ReplicaStatus] = {}
        self.dead: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.draining: set[str] = set()

    def names(self):
        return tuple(self.living)

    def spawn(self, name):
        assert name not in self.living
        assert name not in self.dead
        self.living[name] = ReplicaStatus(name=name, state="starting")

    def look(self, name):
        if name in self.dead:
            return self.dead[name]
        return None if name in self.hanging else self.living[name]

    def assign(self, name, partitions, size):
        if name in self.living:
            self.living[name] = replace(self.living[name], wanted=partitions, size=size)

    def drain(self, name, size):
        self.draining.add(name)
        if name in self.living:
            self.living[name] = replace(self.living[name], size=size)

    def remove(self, name):
        self.living.pop(name, None)
        self.dead.pop(name, None)
        self.hanging.discard(name)

    # What happens to them:

    def obey(self, name):
        status = self.living[name]
        if name in self.draining and status.state != "draining":
            self.living[name] = replace(status, state="draining", wanted=status.held)
        elif name in self.draining:
            self.living[name] = replace(status, state="ended", held=frozenset())
        else:
            self.living[name] = replace(status, state="running", held=status.wanted)

    def obey_all(self):
        for name in list(self.living):
            if name not in self.hanging:
                self.obey(name)

    def work(self, name):
        self.living[name] = replace(self.living[name], windows=self.living[name].windows + 1)

    def die(self, name, reason="its process died"):
        self.dead[name] = reason
        del self.living[name]


class Scene:
    """A controller over scripted replicas, with a clock that the test winds."""

    def __init__(self) -> None:
        self.now, self.replicas = 0.0, ScriptedReplicas()
        self.numbers = itertools.count(1)
        self.start_controller()

    def start_controller(self):
        self.controller = Controller(
            fleet="f",
            partitions=PARTITIONS,
            wanted=2,
            replicas=self.replicas,
            heartbeat_timeout_s=10.0,
            clock=lambda: self.now,
            new_name=lambda: f"replica-{next(self.numbers)}",
        )

    def settle(self, rounds=8):
        for _ in range(rounds):
            self.controller.tick()
            self.replicas.obey_all()
        self.controller.tick()

    def readers(self):
        return {p: [n for n, s in self.replicas.living.items() if p in s.held] for p in PARTITIONS}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_fleet_starts_with_every_partition_read_by_one_replica(scene):
    scene.settle()
    assert scene.controller.status().state == "running"
    assert sorted(len(s.held) for s in scene.replicas.living.values()) == [4, 4]
    assert all(len(readers) == 1 for readers in scene.readers().values())


def test_the_living_take_over_at_once_and_hand_back_when_the_successor_is_ready(scene):
    scene.settle()
    scene.replicas.die("replica-1")
    scene.controller.tick()
    assert scene.replicas.living["replica-2"].wanted == frozenset(PARTITIONS)
    scene.settle()
    assert scene.controller.status().failovers == 1
    assert sorted(scene.replicas.living) == ["replica-2", "replica-3"]
    assert sorted(len(s.held) for s in scene.replicas.living.values()) == [4, 4]


def test_a_partition_is_given_only_after_it_was_let_go(scene):
    scene.settle()
    scene.replicas.die("replica-1")
    scene.settle(rounds=1)
    scene.replicas.obey("replica-3")  # ready, while replica-2 has not yet let go of anything
    scene.controller.tick()
    scene.controller.tick()
    assert scene.replicas.living["replica-2"].held == frozenset(PARTITIONS)
    assert scene.replicas.living["replica-3"].wanted == frozenset()


def test_a_replica_that_answers_no_heartbeat_is_replaced(scene):
    scene.settle()
    scene.replicas.hanging.add("replica-2")
    scene.now = 9.0
    scene.controller.tick()
    assert "replica-2" in scene.replicas.living
    scene.now = 30.0
    scene.controller.tick()
    assert "replica-2" not in scene.replicas.living
    assert scene.controller.status().failovers == 1


def test_a_drained_fleet_ends_without_failovers_and_without_replicas(scene):
    scene.settle()
    scene.controller.drain()
    scene.controller.tick()
    assert scene.controller.status().state == "draining"
    scene.settle()
    assert scene.controller.status().state == "drained"
    assert scene.controller.status().failovers == 0
    assert scene.replicas.living == {}


def test_a_restarted_controller_stops_nobody_and_moves_nothing(scene):
    scene.settle()
    before = scene.readers()
    scene.start_controller()
    scene.settle()
    assert scene.readers() == before
    assert sorted(scene.replicas.living) == ["replica-1", "replica-2"]


def test_a_controller_restarted_in_mid_drain_goes_on_draining(scene):
    scene.settle()
    name = "replica-1"  # the only one that the order has reached
    scene.replicas.living[name] = replace(scene.replicas.living[name], state="draining", size=FleetSize(1, 0))
    scene.start_controller()
    scene.settle()
    assert scene.controller.status().state == "drained"


def test_replicas_that_all_end_at_the_start_stop_the_fleet_with_the_reason(scene):
    for number in range(1, ENDS_WITHOUT_PROGRESS + 20):
        scene.now += 60.0
        scene.controller.tick()
        for name in list(scene.replicas.living):
            scene.replicas.die(name, f"artifact is damaged ({number})")
    scene.controller.tick()
    status = scene.controller.status()
    assert status.state == "failed"
    assert "artifact is damaged" in (status.message or "")
    assert scene.replicas.living == {}


def end_refused(replicas, name):
    replicas.living[name] = replace(replicas.living[name], state="ended", error="Refused: damaged", refused=True)


def test_a_refusal_before_any_window_stops_the_fleet_at_once(scene):
    scene.controller.tick()
    end_refused(scene.replicas, "replica-1")
    scene.controller.tick()
    status = scene.controller.status()
    assert (status.state, status.message) == ("failed", "Refused: damaged")
    scene.controller.tick()
    assert scene.replicas.living == {}


def test_one_refusal_does_not_stop_a_fleet_that_embeds(scene):
    scene.settle()
    scene.replicas.work("replica-1")
    scene.controller.tick()
    end_refused(scene.replicas, "replica-2")
    scene.settle()
    assert scene.controller.status().state == "running"


def test_deaths_between_which_windows_were_embedded_never_stop_the_fleet(scene):
    for _ in range(10 * ENDS_WITHOUT_PROGRESS):
        scene.settle(rounds=2)
        name = max(scene.replicas.living, key=lambda n: int(n.rpartition("-")[2]))
        scene.replicas.work(name)
        scene.controller.tick()
        scene.replicas.die(name)
        scene.now += 60.0
    scene.settle()
    assert scene.controller.status().state == "running"


def test_counts_of_the_dead_stay_in_the_fleets_sums(scene):
    scene.settle()
    scene.replicas.work("replica-1")
    scene.controller.tick()
    scene.replicas.die("replica-1")
    scene.settle()
    assert scene.controller.status().windows == 1


def test_a_larger_fleet_shares_the_partitions_out_anew(scene):
    scene.settle()
    scene.controller.scale(4)
    scene.settle()
    assert sorted(len(status.held) for status in scene.replicas.living.values()) == [2, 2, 2, 2]
    assert scene.controller.status().wanted == 4


def test_of_a_smaller_fleet_the_surplus_finishes_and_the_rest_reads_on(scene):
    scene.controller.scale(3)
    scene.settle()
    stays = {name: status.held for name, status in scene.replicas.living.items()}
    scene.controller.scale(1)
    scene.controller.tick()
    assert len(scene.replicas.draining) == 2
    scene.settle()
    ((name, status),) = scene.replicas.living.items()
    assert status.held == frozenset(PARTITIONS)
    assert stays[name] < status.held
    assert scene.controller.status().failovers == 0


def test_a_surplus_that_still_starts_ends_at_once(scene):
    scene.settle()
    scene.controller.scale(5)
    scene.controller.tick()
    assert len(scene.replicas.living) == 5
    scene.controller.scale(2)
    scene.controller.tick()
    assert sorted(scene.replicas.living) == ["replica-1", "replica-2"]


def test_a_restarted_controller_learns_the_size_from_its_replicas(scene):
    scene.settle()
    scene.controller.scale(3)
    scene.settle()
    scene.start_controller()
    scene.settle()
    assert len(scene.replicas.living) == 3
    assert scene.controller.status().wanted == 3


def test_a_drain_is_for_good(scene):
    scene.settle()
    scene.controller.drain()
    scene.controller.scale(2)
    scene.settle()
    assert scene.controller.status().state == "drained"


def test_a_restarted_controller_replaces_a_replica_that_has_been_hanging_all_along(scene):
    scene.settle()
    scene.replicas.hanging.add("replica-1")
    scene.start_controller()
    scene.controller.tick()
    scene.now += 11.0
    scene.settle()
    assert "replica-1" not in scene.replicas.living
    assert sorted(len(status.held) for status in scene.replicas.living.values()) == [4, 4]


class AnyStory(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is given away while it is held, and calm restores the balance."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()

    @rule()
    def tick(self):
        self.scene.controller.tick()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 11.0]))
    def time_passes(self, seconds):
        self.scene.now += seconds

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def one_obeys(self, data):
        replicas = self.scene.replicas
        name = data.draw(st.sampled_from(sorted(replicas.living)))
        if name not in replicas.hanging:
            replicas.obey(name)
            replicas.work(name)

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def one_dies(self, data):
        self.scene.replicas.die(data.draw(st.sampled_from(sorted(self.scene.replicas.living))))

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def one_hangs(self, data):
        self.scene.replicas.hanging.add(data.draw(st.sampled_from(sorted(self.scene.replicas.living))))

    @rule()
    def all_wake(self):
        self.scene.replicas.hanging.clear()

    @rule(replicas=st.integers(1, 4))
    def the_fleet_is_scaled(self, replicas):
        self.scene.controller.scale(replicas)

    @rule()
    def the_controller_dies_and_returns(self):
        self.scene.start_controller()

    @invariant()
    def nobody_is_told_to_read_what_another_holds(self):
        living = self.scene.replicas.living
        for name, status in living.items():
            for other, theirs in living.items():
                if name < other:
                    assert not (status.held & theirs.held)
                    assert not (status.wanted & theirs.held - status.held)

    def teardown(self):
        scene = self.scene
        if scene.controller.status().state == "failed":
            return
        scene.replicas.hanging.clear()
        for name in list(scene.replicas.living):
            scene.replicas.obey(name)
            scene.replicas.work(name)
        scene.controller.scale(2)
        for _ in range(3):
            scene.now += 60.0
            scene.settle()
        assert all(len(readers) == 1 for readers in scene.readers().values())
        assert sorted(len(s.held) for s in scene.replicas.living.values()) == [4, 4]


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
