"""The controller while the world around it changes: more partitions, other lags, nodes that go, load that grows."""

import itertools
from dataclasses import replace

from undertow.schemas.records import Partition
from undertow.stream.counts import Counts


def test_partitions_that_are_added_are_read_and_move_no_others(scene):
    scene.settle()
    before = scene.readers()
    scene.add_partitions(4)
    scene.settle()
    after = scene.readers()
    assert {partition: after[partition] for partition in before} == before
    assert sorted(len(one.held) for one in scene.replicas.living.values()) == [6, 6]
    assert scene.controller.status().partitions == 12


def test_a_restarted_controller_knows_the_partitions_that_were_added(scene):
    scene.add_partitions(4)
    scene.settle()
    before = scene.readers()
    scene.start_controller()
    scene.settle()
    assert scene.readers() == before
    assert scene.controller.status().partitions == 12


def test_what_a_silent_replica_may_read_by_an_earlier_order_is_given_to_nobody(scene):
    scene.controller.tick()
    first, second = scene.replicas.living
    scene.replicas.obey(first)
    scene.controller.tick()
    scene.replicas.obey(first)  # it reads all that there is, and nobody has heard it yet
    scene.replicas.hanging.add(first)
    scene.replicas.obey(second)
    for _ in range(2):  # the first is told to give up a half
        scene.controller.tick()
    assert (len(scene.replicas.living[first].held), scene.replicas.living[second].wanted) == (8, frozenset())
    scene.replicas.hanging.clear()
    scene.settle()
    assert [len(one.held) for one in scene.replicas.living.values()] == [4, 4]


def test_a_topic_that_is_gone_ends_the_fleet_with_the_reason(scene):
    scene.settle()
    scene.controller.fail("the topic was deleted")
    scene.settle()
    assert (scene.controller.status().state, scene.controller.status().message) == ("failed", "the topic was deleted")
    assert scene.replicas.living == {}


def set_lags(scene, lags):
    for name, by_index in lags.items():
        lag = {Partition("windows", index): offsets for index, offsets in by_index.items()}
        scene.replicas.living[name] = replace(scene.replicas.living[name], lag=lag)


def test_lags_that_differ_are_evened_out_after_a_while_and_not_again_and_again(scene):
    scene.settle()
    (slow, fast) = sorted(scene.replicas.living)
    mine = sorted(partition.index for partition in scene.replicas.living[slow].held)
    scene.now += 31.0
    set_lags(scene, {slow: dict.fromkeys(mine, 50_000)})
    scene.settle()
    moved = scene.readers()
    assert len(scene.replicas.living[slow].held & {Partition("windows", index) for index in mine}) == 2
    set_lags(scene, {slow: {mine[0]: 50_000}, fast: {mine[-1]: 40_000}})
    scene.now += 31.0
    scene.settle()
    assert scene.readers() == moved


def test_replicas_on_a_node_that_is_about_to_go_finish_once_others_are_ready(scene):
    scene.settle()
    (doomed,) = [name for name, one in scene.replicas.living.items() if one.ray_node == "node-a"]
    scene.replicas.going = frozenset({"node-a"})
    scene.controller.tick()
    assert doomed not in scene.replicas.draining
    assert len(scene.replicas.living) == 3
    scene.settle()
    assert doomed not in scene.replicas.living
    assert [one.ray_node for one in scene.replicas.living.values()] == ["node-b", "node-b"]
    assert sorted(len(one.held) for one in scene.replicas.living.values()) == [4, 4]
    assert scene.controller.status().failovers == 0


def test_a_standby_takes_over_from_a_node_that_is_about_to_go_without_waiting_for_a_new_one(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    reader = next(name for name, one in scene.replicas.living.items() if one.held)
    scene.replicas.living[reader] = replace(scene.replicas.living[reader], ray_node="node-c")
    scene.replicas.going = frozenset({"node-c"})
    scene.controller.tick()
    scene.controller.tick()
    assert reader in scene.replicas.draining


def test_a_replica_whose_process_was_told_to_end_is_replaced_before_it_has_ended(scene):
    scene.settle()
    scene.replicas.draining.add("replica-1")
    scene.replicas.obey("replica-1")
    scene.controller.tick()
    assert sorted(scene.replicas.living) == ["replica-1", "replica-2", "replica-3"]
    scene.settle()
    assert sorted(scene.replicas.living) == ["replica-2", "replica-3"]
    assert scene.controller.status().failovers == 0


def test_a_predecessors_order_that_comes_late_is_put_right(scene):
    scene.settle()
    before = scene.readers()
    scene.replicas.living["replica-1"] = replace(scene.replicas.living["replica-1"], wanted=frozenset())
    scene.replicas.obey("replica-1")
    scene.settle()
    assert scene.readers() == before


def test_an_autoscaled_fleet_grows_with_its_lag_goes_on_from_a_size_set_by_hand_and_shrinks_one_by_one(make_scene):
    scene = make_scene(max_replicas=4, scale_down_seconds=60.0)
    scene.settle()

    def live(seconds, *, lag, read):
        sizes = []
        for _ in range(seconds):
            for name, one in list(scene.replicas.living.items()):
                if one.held:
                    lags = dict.fromkeys(one.held, lag)
                    scene.replicas.living[name] = replace(one, lag=lags, counts=one.counts + Counts(offsets=read))
            scene.now += 1.0
            scene.settle(rounds=1)
            sizes.append(scene.controller.status().wanted)
        return sizes

    assert live(30, lag=10_000, read=400)[-1] == 4
    assert "needed" in scene.controller.status().autoscale
    scene.start_controller()
    assert live(30, lag=10_000, read=400)[-1] == 4
    scene.controller.scale(2)
    assert live(5, lag=10_000, read=400)[-1] == 2
    assert live(40, lag=10_000, read=400)[-1] == 4
    sizes = live(400, lag=0, read=0)
    assert [size for size, after in itertools.pairwise(sizes) if after != size] == [4, 3, 2]
    assert sizes[-1] == 1
