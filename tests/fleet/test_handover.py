"""A real fleet whose replicas come and go while windows arrive, by what the operator or the lag asks for."""

import os
import signal

import numpy as np
import psutil
import pytest

from tests.fleet.live import assert_all_is_there_once, offline_rows, running, wait_until, with_fleet
from undertow.adapters.kafka_admin import committed
from undertow.fleet.launch import start
from undertow.schemas.records import Partition
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.mark.timeout(400)
def test_a_replica_that_is_told_to_end_by_sigterm_hands_over_and_another_comes(make_place, make_windows, packed):
    windows = make_windows(4_000, pumps=80)
    place = make_place(partitions=4)
    with running(place.settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 4 and len(s.replicas) == 2)
        place.produce(windows.take(np.arange(2_000)), partitions=4)
        status = wait_until(fleet, lambda s: s.counts.windows > 500)
        told = max(status.replicas, key=lambda replica: replica.counts.windows)
        os.kill(told.pid, signal.SIGTERM)
        place.produce(windows.take(np.arange(2_000, 4_000)), partitions=4)
        status = wait_until(
            fleet,
            lambda s: (
                told.pid not in {r.pid for r in s.replicas}
                and [r.state for r in s.replicas] == ["running", "running"]
                and s.counts.windows == 4_000
                and s.lag == 0
            ),
        )
        assert status.failovers == 0, "it was buried, and has not left by itself"
    assert_all_is_there_once(place.settings, windows, packed.reference(windows))


@pytest.mark.timeout(400)
def test_a_fleet_that_follows_its_lag_grows_with_a_backlog_and_shrinks_after_it(make_place, make_windows, packed):
    windows = make_windows(20_000, pumps=400)
    place = make_place(partitions=2)
    changes = {"min_replicas": 1, "max_replicas": 2, "catch_up_seconds": 1.0}
    changes |= {"scale_up_seconds": 0.5, "scale_down_seconds": 3.0}
    slow = place.settings.kafka.model_copy(update={"max_batch": 4})  # so that the backlog lasts until rates are known
    settings = with_fleet(place.settings, **changes).model_copy(update={"kafka": slow})
    with running(settings) as fleet:
        wait_until(fleet, lambda s: s.lag == 0 and len(s.replicas) == 1)
        place.produce(windows, partitions=2)
        wait_until(fleet, lambda s: s.wanted == 2)
        wait_until(fleet, lambda s: s.wanted == 1 and len(s.replicas) == 1 and s.lag == 0)
    assert_all_is_there_once(settings, windows, packed.reference(windows))


@pytest.mark.timeout(400)
def test_a_replica_without_a_controller_ends_by_itself_when_its_process_is_told_to(make_place, make_windows):
    windows = make_windows(1_000, pumps=80)
    place = make_place(partitions=2)
    settings = with_fleet(place.settings)
    fleet = start(stream_recipe(settings))
    place.produce(windows, partitions=2)
    replica = psutil.Process(wait_until(fleet, lambda s: s.counts.windows > 200).replicas[0].pid)
    fleet.remove()  # the controller alone
    replica.send_signal(signal.SIGTERM)
    replica.wait(60)
    taken = offline_rows(settings)
    partitions = [Partition(settings.kafka.topic, index) for index in range(2)]
    offsets = committed(settings.kafka, partitions)
    assert sum(offsets.values()) == len(taken) > 200, "what it had taken is not durable, or not told"
