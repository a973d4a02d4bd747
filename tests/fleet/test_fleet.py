"""A real fleet on a real Kafka and real stores, compared with pytorch-forecasting and Feast alone."""

import os
import signal

import numpy as np
import pytest

from tests.fleet.live import (
    assert_all_is_there_once,
    newest_of,
    offline_rows,
    online_rows,
    running,
    wait_until,
    wait_until_kept,
)

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.mark.timeout(400)
def test_a_replica_killed_in_mid_stream_loses_nothing_and_repeats_nothing(make_place, make_windows, packed):
    windows = make_windows(20_000, pumps=400)
    place = make_place()
    with running(place.settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 8 and len(s.replicas) == 2)
        place.produce(windows.take(np.arange(10_000)))
        status = wait_until(fleet, lambda s: s.counts.windows > 2_000)
        victim = max(status.replicas, key=lambda replica: replica.counts.windows)
        os.kill(victim.pid, signal.SIGKILL)
        place.produce(windows.take(np.arange(10_000, 20_000)))
        wait_until_kept(fleet, place.settings, 20_000, lambda s: s.failovers == 1 and len(s.replicas) == 2)

    assert_all_is_there_once(place.settings, windows, packed.reference(windows))


def test_a_fleet_on_sqlite_writes_what_stock_feast_reads_and_ends_when_drained(make_place, make_windows, packed):
    windows = make_windows(600, pumps=20)
    place = make_place(online="sqlite", partitions=3)
    with running(place.settings) as fleet:
        place.produce(windows, partitions=3)
        wait_until(fleet, lambda s: s.lag == 0 and s.counts.windows >= 600)
    newest, reference = newest_of(windows), packed.reference(windows)
    np.testing.assert_allclose(online_rows(place.settings, newest.index), reference[newest], atol=1e-6, rtol=1e-6)
    assert len(offline_rows(place.settings)) == 600
