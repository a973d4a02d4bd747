"""Any story of a fleet: a stateful test of the controller over scripted replicas."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from undertow.fleet.restart_policy import RestartPolicy


class AnyStory(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is given away while it is held, and calm restores the balance."""

    def __init__(self, scene) -> None:
        super().__init__()
        self.scene = scene
        self.failed_starts = 0

    def may_die(self, names):
        """Whether these may die at once; so many deaths of replicas that nobody has seen run are a fault of theirs."""
        seen = {one.name for one in self.scene.controller.status().replicas if one.state != "starting"}
        if not set(names) <= seen:
            self.failed_starts += 1
        return self.failed_starts < RestartPolicy().starts

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
        name = data.draw(st.sampled_from(sorted(self.scene.replicas.living)))
        if self.may_die([name]):
            self.scene.replicas.die(name)

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def many_die_at_once(self, data):
        names = data.draw(st.sets(st.sampled_from(sorted(self.scene.replicas.living)), min_size=1))
        if self.may_die(names):
            for name in names:
                self.scene.replicas.die(name)

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def one_hangs(self, data):
        self.scene.replicas.hanging.add(data.draw(st.sampled_from(sorted(self.scene.replicas.living))))

    @rule()
    def all_wake(self):
        self.scene.replicas.hanging.clear()

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def an_answer_is_late(self, data):
        self.scene.replicas.answer_slowly(data.draw(st.sampled_from(sorted(self.scene.replicas.living))))

    @rule()
    def late_answers_arrive(self):
        self.scene.replicas.answers_arrive()

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def an_order_arrives_twice(self, data):
        status = self.scene.replicas.living[data.draw(st.sampled_from(sorted(self.scene.replicas.living)))]
        self.scene.replicas.assign(status.name, status.wanted, status.size, status.quarantine)

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data())
    def one_is_told_to_end(self, data):
        self.scene.replicas.draining.add(data.draw(st.sampled_from(sorted(self.scene.replicas.living))))

    @precondition(lambda self: len(self.scene.topic) < 14)
    @rule(count=st.integers(1, 3))
    def partitions_are_added(self, count):
        self.scene.add_partitions(count)

    @precondition(lambda self: not self.scene.replicas.going)
    @rule(data=st.data())
    def a_node_is_about_to_go(self, data):
        self.scene.replicas.going = frozenset([data.draw(st.sampled_from(self.scene.replicas.places))])

    @precondition(lambda self: self.scene.replicas.going)
    @rule()
    def the_node_goes(self):
        replicas = self.scene.replicas
        if self.may_die([name for name, one in replicas.living.items() if one.ray_node in replicas.going]):
            replicas.lose_node()

    @precondition(lambda self: self.scene.replicas.living)
    @rule(data=st.data(), lag=st.integers(0, 10**6))
    def lag_changes(self, data, lag):
        status = self.scene.replicas.living[data.draw(st.sampled_from(sorted(self.scene.replicas.living)))]
        self.scene.replicas.living[status.name] = replace(status, lag=dict.fromkeys(status.held, lag))

    @rule(replicas=st.integers(1, 40))
    def the_fleet_is_scaled(self, replicas):
        self.scene.controller.scale(replicas)

    @rule()
    def the_controller_dies_and_returns(self):
        self.scene.start_controller()

    @invariant()
    def the_fleet_has_not_failed(self):
        assert self.scene.controller.status().state != "failed", self.scene.controller.status().message

    @invariant()
    def nobody_is_told_to_read_what_another_holds(self):
        living = self.scene.replicas.living
        for name, status in living.items():
            for other, theirs in living.items():
                if name != other:
                    assert not (status.held & theirs.held)
                    assert not (status.wanted & theirs.held - status.held)

    def teardown(self):
        scene = self.scene
        scene.controller.tick()
        scene.replicas.hanging.clear()
        scene.replicas.answers_arrive()
        scene.controller.grow(scene.topic)  # the next look at the topic, which a restarted controller takes at once
        for name in list(scene.replicas.living):
            scene.replicas.obey(name)
            scene.replicas.work(name)
        scene.controller.scale(scene.fleet.replicas)
        for _ in range(3):
            scene.now += 60.0
            scene.settle()
        assert all(len(readers) == 1 for readers in scene.readers().values())
        held = sorted(len(s.held) for s in scene.replicas.living.values())
        wanted = scene.fleet.replicas
        shares = [len(scene.topic) // wanted + (n < len(scene.topic) % wanted) for n in range(wanted)]
        assert held == sorted([*[0] * scene.fleet.standbys, *shares])
        scene.controller.drain()
        scene.controller.scale(3)
        scene.controller.tick()
        scene.start_controller()
        for _ in range(3):
            scene.now += 60.0
            scene.settle()
        assert scene.controller.status().state == "drained"


@pytest.mark.parametrize(("wanted", "standbys"), [(2, 0), (2, 1), (8, 0), (11, 2), (40, 2)])
def test_any_story_ends_with_every_partition_read_once(make_scene, wanted, standbys):
    calm = settings(max_examples=40, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(lambda: AnyStory(make_scene(replicas=wanted, standbys=standbys)), settings=calm)
