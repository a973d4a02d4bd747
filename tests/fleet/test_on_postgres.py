"""Streams and a fleet that write to a real Postgres: emptied, killed and started again, and a replica killed."""

import os
import signal

import numpy as np
import pytest

from tests.fleet.live import assert_all_is_there_once, running, wait_until, wait_until_kept
from tests.fleet.test_store_loss import Running, newest, shifted
from tests.postgres_server import PASSWORD
from undertow.stream.events import NotRestored, Restored, StoreLost
from undertow.wiring import restoring

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture
def server(own_postgres, monkeypatch):
    """A Postgres that may be killed, named by the environment."""
    for name, value in own_postgres.variables().items():
        monkeypatch.setenv(name, value)
    return own_postgres


def test_a_postgres_that_is_killed_is_waited_for_and_one_that_was_emptied_is_filled_from_the_log(
    make_place, make_windows, server, monkeypatch
):
    monkeypatch.setattr(restoring, "SETTLE_S", 0.5)
    place = make_place(online="postgres", partitions=2)
    windows = make_windows(30, pumps=30)
    place.produce(windows, partitions=2)
    one = Running(place.settings)
    one.read(30)
    one.stream.checkpoint()
    before = newest(place.settings, 30)
    server.stop(kill=True)
    place.produce(shifted(windows.take(np.arange(10)), 60_000_000), partitions=2)
    one.until(lambda: one.stream.retrying.blocked)
    assert "Postgres at 127.0.0.1" in one.stream.retrying.blocked
    assert PASSWORD not in one.stream.retrying.blocked
    server.start()
    one.read(40)
    assert one.events(StoreLost, Restored) == []
    with server.connect() as connection:
        ((table,),) = connection.execute(
            "SELECT tablename FROM pg_tables WHERE tablename ~ '__[0-9a-f]{8}$'"
        ).fetchall()
        connection.execute(f'TRUNCATE "{table}"')
    place.produce(shifted(windows.take(np.arange(10, 20)), -86_400_000_000), partitions=2)
    one.read(50)
    one.until(lambda: one.events(Restored, NotRestored))
    one.stream.close()
    (lost,), (restored,) = one.events(StoreLost), one.events(Restored)
    assert (lost.is_ours, one.stream.counts.store_losses, restored.series) == (True, 1, 30)
    assert newest(place.settings, 30) == [time + 60 for time in before[:10]] + before[10:]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(400)
def test_a_replica_killed_in_mid_stream_loses_nothing_and_repeats_nothing_on_postgres(
    make_place, make_windows, packed, server
):
    del server
    windows = make_windows(8_000, pumps=200)
    place = make_place(online="postgres")
    with running(place.settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 8 and len(s.replicas) == 2)
        place.produce(windows.take(np.arange(4_000)))
        status = wait_until(fleet, lambda s: s.counts.windows > 1_000)
        victim = max(status.replicas, key=lambda replica: replica.counts.windows)
        os.kill(victim.pid, signal.SIGKILL)
        place.produce(windows.take(np.arange(4_000, 8_000)))
        wait_until_kept(fleet, place.settings, 8_000, lambda s: s.failovers == 1 and len(s.replicas) == 2)
    assert_all_is_there_once(place.settings, windows, packed.reference(windows))
