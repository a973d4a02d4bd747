"""A real fleet on a real Kafka and real stores, compared with pytorch-forecasting and Feast alone."""

import contextlib
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore

from workers.adapters.offline_parts import read_space
from workers.artifact.manifest import read_manifest
from workers.fleet.launch import start
from workers.wiring import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@contextlib.contextmanager
def running(settings):
    fleet = start(stream_recipe(settings))
    try:
        yield fleet
        last = fleet.drain_and_wait(60)
        assert last.state == "drained", last.message
    finally:
        fleet.remove()


def wait_until(fleet, holds, timeout_s=120.0):
    """Look at the fleet until it is as it should be: the only clock here is the limit after which the test fails."""
    give_up_at = time.monotonic() + timeout_s
    while not holds(status := fleet.status()):
        assert status.state != "failed", status.message
        assert time.monotonic() < give_up_at, status.to_json()
        time.sleep(0.05)
    return status


def offline_rows(settings, packed):
    table = read_space(settings.offline.path, read_manifest(packed.artifact).space)
    return table.to_pandas().sort_values("event_timestamp", ignore_index=True)


def online_rows(settings, pumps):
    store = FeatureStore(repo_path=str(settings.feast.repo), fs_yaml_file=settings.feast.repo / settings.feast.config)
    response = store.get_online_features(
        features=store.get_feature_service("pumps"), entity_rows=[{"pump": pump} for pump in pumps]
    )
    return np.array(response.to_dict()["embedding"], np.float32)


def newest_of(windows):
    """The row of each pump's newest window: pumps come in turn, each later than the one before."""
    return pd.Series(np.arange(len(windows)), index=windows.series["pump"]).groupby(level=0).max()


@pytest.mark.timeout(400)
def test_a_replica_killed_in_mid_stream_loses_nothing_and_repeats_nothing(make_place, make_windows, packed):
    windows = make_windows(20_000, pumps=400)
    place = make_place()
    with running(place.settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 8 and len(s.replicas) == 2)
        place.produce(windows.take(np.arange(10_000)))
        status = wait_until(fleet, lambda s: s.windows > 2_000)
        victim = max(status.replicas, key=lambda replica: replica.windows)
        os.kill(victim.pid, signal.SIGKILL)
        place.produce(windows.take(np.arange(10_000, 20_000)))
        wait_until(fleet, lambda s: s.failovers == 1 and len(s.replicas) == 2 and s.lag == 0)

    rows, reference = offline_rows(place.settings, packed), packed.reference(windows)
    assert rows["event_timestamp"].astype("int64").tolist() == windows.end_us.tolist()
    assert rows["pump"].tolist() == windows.series["pump"].tolist()
    assert not rows.duplicated(["origin_partition", "origin_offset"]).any()
    np.testing.assert_allclose(np.stack(rows["embedding"]), reference, atol=1e-6, rtol=1e-6)
    newest = newest_of(windows)
    np.testing.assert_allclose(online_rows(place.settings, newest.index), reference[newest], atol=1e-6, rtol=1e-6)


def test_a_fleet_on_sqlite_writes_what_stock_feast_reads_and_ends_when_drained(make_place, make_windows, packed):
    windows = make_windows(600, pumps=20)
    place = make_place(online="sqlite", partitions=3)
    with running(place.settings) as fleet:
        place.produce(windows, partitions=3)
        wait_until(fleet, lambda s: s.lag == 0 and s.windows >= 600)
    newest, reference = newest_of(windows), packed.reference(windows)
    np.testing.assert_allclose(online_rows(place.settings, newest.index), reference[newest], atol=1e-6, rtol=1e-6)
    assert len(offline_rows(place.settings, packed)) == 600
