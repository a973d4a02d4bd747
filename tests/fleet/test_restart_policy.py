"""What ends a fleet, and what does not: the pure function, and the controller that follows it, on a scripted clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.fleet.restart_policy import (
    LivingReplica,
    ReplicaEnd,
    RestartDecision,
    RestartHistory,
    RestartPolicy,
    decide_restart,
    remember,
)

POLICY = RestartPolicy()
A, B = "node-a", "node-b"
DAY = 86_400.0
FOUR = ("node-a", "node-b", "node-c", "node-d")


# The pure function ----------------------------------------------------------------------------------------------------


def history_of(*ends, living=(), nodes=(A, B), now=0.0):
    """Each end in a tick of its own, then a last look at the living."""
    history = RestartHistory()
    for end in sorted(ends, key=lambda one: one.at):
        history = remember(POLICY, history, ended=[end], living=[], nodes=frozenset(nodes), now=end.at)
    return remember(POLICY, history, ended=[], living=living, nodes=frozenset(nodes), now=now)


def failed_start(at, node=A, **changes):
    return replace(ReplicaEnd(at=at, reason="it crashed", node=node, host=node), **changes)


def test_nothing_follows_from_nothing():
    assert decide_restart(POLICY, RestartHistory(), 5.0) == RestartDecision()


def test_ends_of_replicas_that_have_worked_delay_nothing_and_end_nothing():
    ends = [failed_start(float(at), has_run=True, has_worked=True) for at in range(100)]
    assert decide_restart(POLICY, history_of(*ends, now=100.0), 100.0) == RestartDecision()


def test_starts_that_fail_one_after_another_are_delayed_more_and_more_and_then_given_up():
    ends = [failed_start(10.0 * number) for number in range(POLICY.starts)]
    delays = [
        decide_restart(POLICY, history_of(*ends[:count]), ends[count - 1].at).spawn_at - ends[count - 1].at
        for count in range(1, POLICY.starts)
    ]
    assert delays == [0.0, 1.0, 2.0, 4.0]
    given_up = decide_restart(POLICY, history_of(*ends), 50.0).gives_up
    assert given_up == "5 starts failed on node-a (node-a), and no replica runs; the last: it crashed"


def test_what_ends_within_a_second_counts_once():
    ends = [failed_start(0.1 * number, node) for number in range(9) for node in FOUR]
    assert decide_restart(POLICY, history_of(*ends), 1.0).gives_up is None


def test_ends_of_those_that_ran_are_never_given_up_only_delayed():
    ends = [failed_start(2.0 * number, has_run=True) for number in range(50)]
    decision = decide_restart(POLICY, history_of(*ends, now=100.0), 100.0)
    assert decision.gives_up is None
    assert decision.spawn_at == 98.0 + POLICY.longest_delay_s


def test_failed_starts_are_forgotten_with_time():
    ends = [failed_start(at * POLICY.memory_s / 3) for at in range(100)]
    assert decide_restart(POLICY, history_of(*ends), 100 * POLICY.memory_s / 3).gives_up is None
    assert (
        decide_restart(POLICY, history_of(*ends, now=40 * POLICY.memory_s), 40 * POLICY.memory_s) == RestartDecision()
    )


@pytest.mark.parametrize(("nodes", "gives_up"), [((A,), True), ((A, B), False), ((), False)])
def test_a_refusal_is_believed_at_once_where_there_is_no_other_node(nodes, gives_up):
    end = failed_start(0.0, reason="Refused: no artifact there", fault="refused")
    decision = decide_restart(POLICY, history_of(end, nodes=nodes), 0.0)
    assert decision.gives_up == ("Refused: no artifact there" if gives_up else None)
    assert decision.avoid == {A}
    assert decision.told == "1 start failed on node-a (node-a), tried again; the last: Refused: no artifact there"


def test_what_may_be_back_soon_is_waited_for():
    ends = [failed_start(60.0 * number, fault="unavailable", reason="Unavailable: no Redis") for number in range(20)]
    decision = decide_restart(POLICY, history_of(*ends, nodes=(A,), now=1_141.0), 1_141.0)
    assert decision.gives_up is None
    assert decision.avoid == frozenset()
    assert decision.told.endswith("tried again in 59 s; the last: Unavailable: no Redis")


@pytest.mark.parametrize("fault", ["refused", "crashed"])
@pytest.mark.parametrize(
    "one", [LivingReplica(node=B, runs_since=-5.0), LivingReplica(node=B), LivingReplica(node=A, runs_since=-5.0)]
)
def test_a_fleet_with_a_replica_that_runs_or_starts_on_a_good_node_goes_on(fault, one):
    ends = [failed_start(60.0 * number, fault=fault) for number in range(9)]
    is_of_the_bad_node = one.node == A
    decision = decide_restart(POLICY, history_of(*ends, living=[one], nodes=(A, B), now=481.0), 481.0)
    assert (decision.gives_up is not None) == is_of_the_bad_node


def test_a_replica_that_has_worked_is_healthy_whatever_happens_beside_it():
    ends = [failed_start(60.0 * number, fault="refused") for number in range(9)]
    one = LivingReplica(node=A, runs_since=-5.0, has_worked=True)
    assert decide_restart(POLICY, history_of(*ends, living=[one], nodes=(A,), now=481.0), 481.0).gives_up is None


def test_a_replica_that_runs_where_others_could_not_start_clears_the_node():
    ends = [failed_start(0.0, fault="refused"), failed_start(1.0, B, fault="refused")]
    history = history_of(*ends, living=[LivingReplica(node=A, runs_since=5.0)], now=5.0)
    assert decide_restart(POLICY, history, 5.0).avoid == {B}


def test_to_be_refused_at_the_first_window_is_not_cleared_by_one_that_only_runs():
    end = failed_start(0.0, fault="refused", has_run=True)
    history = history_of(end, living=[LivingReplica(node=A, runs_since=5.0)], nodes=(A,), now=5.0)
    assert decide_restart(POLICY, history, 5.0).gives_up == "it crashed"


def test_starts_that_failed_while_others_ran_do_not_count_once_those_are_lost():
    ends = [failed_start(60.0 * number, fault="refused") for number in range(9)]
    history = history_of(*ends, living=[LivingReplica(node=B, runs_since=-5.0)], now=481.0)
    lost = failed_start(482.0, B, has_run=True)
    after = remember(POLICY, history, ended=[lost], living=[], nodes=frozenset({A, B}), now=482.0)
    assert decide_restart(POLICY, after, 482.0).gives_up is None


many_ends = st.lists(
    st.builds(
        ReplicaEnd,
        at=st.floats(0, 5_000),
        reason=st.just("r"),
        fault=st.sampled_from(["refused", "unavailable", "crashed"]),
        node=st.sampled_from(["", *FOUR]),
        has_run=st.booleans(),
        has_worked=st.booleans(),
    )
)


@given(ends=many_ends, node=st.sampled_from(FOUR), wait=st.floats(0, 5_000))
def test_no_history_ends_a_fleet_of_which_a_replica_works(ends, node, wait):
    works = LivingReplica(node=node, runs_since=0.0, has_worked=True)
    decision = decide_restart(POLICY, history_of(*ends, living=[works], nodes=FOUR, now=5_000 + wait), 5_000 + wait)
    assert decision.gives_up is None
    assert decision.spawn_at <= 5_000 + POLICY.longest_delay_s


@given(ends=many_ends)
def test_replicas_that_ran_and_were_not_refused_never_end_a_fleet(ends):
    innocent = [one for one in ends if one.has_worked or (one.has_run and one.fault != "refused")]
    assert decide_restart(POLICY, history_of(*innocent, nodes=FOUR, now=5_000), 5_000).gives_up is None


# The controller -------------------------------------------------------------------------------------------------------


def is_whole(scene, replicas):
    status = scene.controller.status()
    assert status.state == "running", status.message
    assert len(status.replicas) == replicas
    assert all(len(readers) == 1 for readers in scene.readers().values())


def test_eight_replicas_on_four_nodes_outlive_a_node_with_two_of_them_and_one_more_an_hour_later(make_scene):
    scene = make_scene(replicas=8, nodes=FOUR)
    scene.settle()
    scene.replicas.kill_node("node-b")
    scene.settle()
    is_whole(scene, 8)
    assert {one.ray_node for one in scene.replicas.living.values()} == {"node-a", "node-c", "node-d"}
    scene.now += 3_600.0
    scene.settle()
    scene.replicas.die(min(scene.replicas.living))
    scene.settle()
    is_whole(scene, 8)
    assert scene.controller.status().failovers == 3
    assert scene.controller.status().message is None


@pytest.mark.parametrize("state", ["running", "starting"])
def test_five_of_eight_that_die_in_one_tick_are_replaced(make_scene, state):
    scene = make_scene(replicas=8)
    if state == "running":
        scene.settle()
    else:
        scene.controller.tick()
    for name in sorted(scene.replicas.living)[:5]:
        scene.replicas.die(name)
    scene.settle()
    is_whole(scene, 8)


def test_all_of_a_fleet_that_die_at_once_while_they_start_are_replaced(make_scene):
    scene = make_scene(replicas=8)
    scene.controller.tick()
    for name in list(scene.replicas.living):
        scene.replicas.die(name)
    scene.settle()
    is_whole(scene, 8)


def test_an_idle_fleet_whose_replicas_die_once_a_day_goes_on_for_weeks(make_scene):
    scene = make_scene(replicas=1)
    for _ in range(20):
        scene.settle()
        is_whole(scene, 1)
        scene.replicas.die(min(scene.replicas.living))
        scene.now += DAY


def test_an_idle_fleet_whose_replicas_die_every_minute_goes_on(make_scene):
    scene = make_scene(replicas=1)
    for _ in range(100):
        scene.settle()
        is_whole(scene, 1)
        scene.replicas.die(min(scene.replicas.living))
        scene.controller.tick()
        scene.now += 60.0


def refuse(scene, node, reason="Refused: no artifact there"):
    """Whoever starts on this node finds no artifact there."""
    for name, one in list(scene.replicas.living.items()):
        if one.ray_node == node:
            scene.replicas.living[name] = replace(one, state="ended", error=reason, fault="refused")


def test_an_artifact_that_nobody_can_load_ends_the_fleet_with_the_reason(make_scene):
    scene = make_scene(replicas=8, nodes=FOUR)
    for _ in range(5):
        scene.controller.tick()
        for node in FOUR:
            refuse(scene, node)
        scene.controller.tick()
        scene.now += 5.0
    status = scene.controller.status()
    assert status.state == "failed"
    assert "Refused: no artifact there" in status.message
    assert "node-a" in status.message
    scene.controller.tick()
    assert scene.replicas.living == {}


def test_a_node_without_the_artifact_is_told_and_avoided_and_does_not_end_the_fleet(make_scene):
    scene = make_scene(replicas=8, nodes=FOUR)
    for _ in range(20):
        scene.controller.tick()
        refuse(scene, "node-a")
        scene.settle(rounds=2)
    is_whole(scene, 8)
    assert {one.ray_node for one in scene.replicas.living.values()} == {"node-b", "node-c", "node-d"}
    assert "no artifact there" in scene.controller.status().message
    scene.now += POLICY.memory_s
    scene.settle()
    assert scene.controller.status().message is None


def test_a_fleet_whose_only_other_node_is_bad_reads_with_what_it_has(make_scene):
    scene = make_scene(replicas=2, nodes=(A, B))
    scene.controller.tick()
    (good,) = [name for name, one in scene.replicas.living.items() if one.ray_node == B]
    scene.replicas.obey(good)
    scene.replicas.full = frozenset({B})  # it has room for one alone
    for _ in range(50):
        refuse(scene, A)
        scene.controller.tick()
        scene.replicas.obey(good)
        scene.now += 30.0
    status = scene.controller.status()
    assert status.state == "running", status.message
    assert scene.replicas.living[good].held == scene.topic
    assert "starts failed on" in status.message
