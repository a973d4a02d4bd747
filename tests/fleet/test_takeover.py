"""Who takes over from a controller that died, and what is left of one that nobody waited for, in a real Ray."""

import contextlib
import time

import pytest
import ray

from tests.fleet.live import running, wait_until, with_fleet
from undertow.adapters.kafka_lease import KafkaLease
from undertow.core.errors import Unavailable
from undertow.fleet.controller_actor import controller_name
from undertow.fleet.launch import start
from undertow.fleet.ray_replicas import RayReplicas
from undertow.fleet.replica_actor import replica_actor
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def names_of(fleet):
    return [name for name in ray.util.list_named_actors() if name.startswith(f"{fleet}:")]


def test_a_replica_whose_order_to_run_was_lost_with_its_controller_runs_when_the_next_one_takes_it_over(make_place):
    recipe = stream_recipe(make_place(partitions=1).settings)
    name = f"{recipe.fleet.name}:replica-1"
    replica_actor.options(name=name, lifetime="detached").remote("replica-1")  # and here its controller was killed
    replicas = RayReplicas(recipe)
    try:
        assert list(replicas.names()) == ["replica-1"]
        give_up_at = time.monotonic() + 120
        while (status := replicas.look("replica-1")) is None or status.state == "starting":
            assert time.monotonic() < give_up_at, status
            time.sleep(0.05)
        assert (status.state, status.error) == ("running", None)
    finally:
        replicas.remove("replica-1")


def test_nothing_is_left_of_a_fleet_whose_controller_was_not_there_in_time_and_the_next_start_works(
    make_place, make_windows
):
    place = make_place(partitions=1)
    settings = with_fleet(place.settings)
    recipe = stream_recipe(settings)
    with pytest.raises(Unavailable, match="It was taken back, and nothing of the fleet is left"):
        start(recipe, timeout_s=0.0)
    assert names_of(recipe.fleet.name) == []
    with contextlib.closing(KafkaLease(recipe.kafka)) as lease:
        assert lease.read() == ""
    with pytest.raises(Unavailable, match="told to end while the controller"):
        start(recipe, stops=lambda: True)
    assert names_of(recipe.fleet.name) == []
    place.produce(make_windows(30, pumps=3), partitions=1)
    with running(settings) as fleet:
        assert controller_name(recipe.fleet.name) in names_of(recipe.fleet.name)
        wait_until(fleet, lambda s: s.counts.windows == 30 and s.lag == 0)
