"""The controller over scripted replicas: what it orders when they start, die, hang, drain, and when it dies itself."""

from dataclasses import replace

from undertow.fleet.controller import STARTING
from undertow.fleet.restart_policy import RestartPolicy
from undertow.fleet.status import FleetSize
from undertow.schemas.records import Partition

PARTITIONS = tuple(Partition("windows", index) for index in range(8))


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
    for number in range(1, 2 * RestartPolicy().starts):
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
    replicas.living[name] = replace(replicas.living[name], state="ended", error="Refused: damaged", fault="refused")


def test_a_refusal_on_all_nodes_before_any_window_stops_the_fleet_at_once(make_scene):
    scene = make_scene(nodes=("node-a",))
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
    for _ in range(10 * RestartPolicy().starts):
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
    assert scene.controller.status().counts.windows == 1


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


def test_of_a_large_fleet_few_start_at_once_so_that_orders_meanwhile_are_followed_in_the_next_tick(make_scene):
    scene = make_scene(replicas=100)
    scene.controller.tick()
    assert len(scene.replicas.living) == STARTING
    assert scene.controller.status().wanted == 100
    scene.controller.scale(40)
    scene.settle()
    assert len(scene.replicas.living) == 40
    scene.controller.scale(1_000)
    scene.controller.tick()
    assert len(scene.replicas.living) == 40 + STARTING
    scene.controller.drain()
    scene.controller.tick()
    assert len(scene.replicas.living) == 40
    scene.settle()
    assert scene.controller.status().state == "drained"


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


def test_nothing_is_given_to_a_replica_that_leaves(scene):
    scene.controller.scale(3)
    scene.settle()
    scene.replicas.die("replica-3")
    scene.controller.scale(1)
    scene.controller.tick()
    (leaving,) = scene.replicas.draining
    assert scene.replicas.living[leaving].wanted == scene.replicas.living[leaving].held
    (stays,) = {"replica-1", "replica-2"} - {leaving}
    assert scene.replicas.living[stays].wanted == frozenset(PARTITIONS) - scene.replicas.living[leaving].held


def test_a_fleet_that_grows_again_does_not_wait_for_those_that_leave(scene):
    scene.settle()
    scene.controller.scale(1)
    scene.controller.tick()
    scene.controller.scale(2)
    scene.controller.tick()
    assert sorted(scene.replicas.living) == ["replica-1", "replica-2", "replica-3"]


def test_a_standby_is_loaded_and_reads_nothing(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    assert sorted(len(one.held) for one in scene.replicas.living.values()) == [0, 4, 4]
    status = scene.controller.status()
    assert (status.wanted, status.standbys, len(status.replicas)) == (2, 1, 3)


def test_a_standby_takes_over_in_the_tick_that_sees_a_death_and_the_next_one_stands_by(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    (standby,) = [name for name, one in scene.replicas.living.items() if not one.held]
    reader, other = [name for name, one in scene.replicas.living.items() if one.held]
    lost = scene.replicas.living[reader].held
    scene.replicas.work(other)
    scene.replicas.die(reader)
    scene.controller.tick()
    assert scene.replicas.living[standby].wanted == lost
    scene.settle()
    assert {name: len(one.held) for name, one in scene.replicas.living.items() if name in {standby, other}} == {
        standby: 4,
        other: 4,
    }
    assert len(scene.replicas.living) == 3


def test_the_death_of_a_standby_moves_nothing(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    before = scene.readers()
    scene.replicas.die(next(name for name, one in scene.replicas.living.items() if not one.held))
    scene.settle()
    assert scene.readers() == before
    assert len(scene.replicas.living) == 3


def test_a_fleet_with_a_standby_drains_to_nothing(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    scene.controller.drain()
    scene.settle()
    assert scene.controller.status().state == "drained"
    assert not scene.replicas.living


def test_a_restarted_controller_leaves_the_standby_a_standby(make_scene):
    scene = make_scene(standbys=1)
    scene.settle()
    before = scene.readers()
    scene.start_controller()
    scene.settle()
    assert scene.readers() == before
    assert len(scene.replicas.living) == 3
