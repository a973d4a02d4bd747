"""An online store that is emptied, moved away or switched under a stream is told of, and filled again from the log."""

import time

import numpy as np
import pytest
import redis

from tests.fleet import quick_feast
from undertow.adapters.feast_lookup import get
from undertow.core.errors import Unavailable
from undertow.devstack.processes import free_port, stop
from undertow.devstack.redis import RedisServer, await_redis, start_redis
from undertow.stream.events import NotRestored, Restored, StoreLost
from undertow.wiring import restoring, stores
from undertow.wiring.root import open_stream, stream_recipe

pytestmark = [pytest.mark.kafka]

DAY_US = 86_400_000_000


@pytest.fixture
def own_redis(tmp_path):
    """A Redis that may be emptied."""
    server = RedisServer(folder=tmp_path / "redis", port=free_port())
    process = start_redis(server, leashed=True)
    await_redis(server, process)
    yield server.address
    stop(process, grace_seconds=10)


class Running:
    """A stream that is stepped by the test."""

    def __init__(self, settings):
        self.told = []
        recipe = stream_recipe(settings)
        self.stream = open_stream(recipe, lambda: False, tell=self.told.append)
        self.stream.assign(recipe.partitions)
        self.settings = settings

    def until(self, is_so):
        ends = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < ends, self.told[-5:]
            self.stream.step()

    def read(self, windows):
        self.until(lambda: self.stream.counts.windows >= windows)

    def events(self, *kinds):
        return [event for event in self.told if isinstance(event, kinds)]


def newest(settings, pumps):
    found = [get(settings.feast, "pumps", {"pump": f"p{pump:03d}"}) for pump in range(pumps)]
    return [None if one is None else one.event_us // 1_000_000 for one in found]


def shifted(windows, us):
    return type(windows)(
        **{name: getattr(windows, name) for name in windows.__dataclass_fields__ if name != "end_us"},
        end_us=windows.end_us + us,
    )


@pytest.mark.redis
def test_an_emptied_redis_is_told_and_filled_from_the_log_and_an_older_window_does_not_stay(
    make_place, make_windows, own_redis, monkeypatch
):
    monkeypatch.setattr(restoring, "SETTLE_S", 0.5)
    place = make_place(partitions=2)
    monkeypatch.setenv("UNDERTOW_REDIS", own_redis)
    windows = make_windows(40, pumps=40)
    place.produce(windows, partitions=2)
    running = Running(place.settings)
    running.read(40)
    running.stream.checkpoint()
    assert running.events(StoreLost, Restored) == []  # a store that is new, and a log that is, too
    before = newest(place.settings, 40)
    connection = redis.Redis.from_url(f"redis://{own_redis}")
    connection.flushall()
    connection.script_flush()
    some, others = windows.take(np.arange(20)), windows.take(np.arange(20, 30))
    place.produce(shifted(some, 60_000_000), partitions=2)
    place.produce(shifted(others, -3 * DAY_US), partitions=2)
    running.read(70)
    running.until(lambda: running.events(Restored, NotRestored))
    running.stream.close()
    (lost,), (restored,) = running.events(StoreLost), running.events(Restored)
    assert (lost.is_ours, running.stream.counts.store_losses, restored.series) == (True, 1, 40)
    assert newest(place.settings, 40) == [time + 60 for time in before[:20]] + before[20:]


def test_an_sqlite_file_that_is_moved_away_is_waited_for_made_again_by_apply_and_filled(
    make_place, make_windows, monkeypatch
):
    monkeypatch.setattr(restoring, "SETTLE_S", 0.5)
    monkeypatch.setattr(stores, "apply", quick_feast.apply)
    place = make_place(online="sqlite", partitions=2)
    windows = make_windows(20, pumps=10)
    place.produce(windows, partitions=2)
    running = Running(place.settings)
    running.read(20)
    running.stream.checkpoint()
    before = newest(place.settings, 10)
    for path in (place.settings.feast.repo / "data").glob("online.db*"):
        path.rename(path.with_name(f"moved-{path.name}"))
    place.produce(shifted(windows.take(np.arange(10, 15)), 60_000_000), partitions=2)
    running.until(lambda: running.stream.retrying.blocked)
    assert "found no such file; run: undertow apply" in running.stream.retrying.blocked
    stores.apply_artifact(place.settings)
    running.read(25)
    running.until(lambda: running.events(Restored, NotRestored))
    running.stream.close()
    assert [event.is_ours for event in running.events(StoreLost)] == [True]
    assert running.events(NotRestored) == []
    moved = {int(pump[1:]) for pump in windows.series["pump"][10:15]}
    assert newest(place.settings, 10) == [time + 60 * (pump in moved) for pump, time in enumerate(before)]


@pytest.mark.redis
def test_a_store_that_was_emptied_while_no_fleet_ran_is_filled_by_the_next(
    make_place, make_windows, own_redis, monkeypatch
):
    place = make_place(partitions=2)
    monkeypatch.setenv("UNDERTOW_REDIS", own_redis)
    place.produce(make_windows(10, pumps=5), partitions=2)
    first = Running(place.settings)
    first.read(10)
    first.stream.checkpoint()
    first.stream.close()
    before = newest(place.settings, 5)
    assert None not in before
    redis.Redis.from_url(f"redis://{own_redis}").flushall()
    second = Running(place.settings)
    second.until(lambda: second.events(StoreLost))
    second.stream.close()
    assert second.stream.counts.store_losses == 1
    assert newest(place.settings, 5) == before
    third = Running(place.settings)
    third.stream.step()
    third.stream.checkpoint()
    third.stream.close()
    assert third.events(StoreLost, Restored, NotRestored) == []


def test_without_a_log_a_loss_is_told_and_nothing_else(make_place, make_windows, monkeypatch):
    monkeypatch.setattr(stores, "apply", quick_feast.apply)
    place = make_place(online="sqlite", partitions=1)
    settings = place.settings.model_copy(
        update={"offline": place.settings.offline.model_copy(update={"enabled": False})}
    )
    place.produce(make_windows(2, pumps=2), partitions=1)
    running = Running(settings)
    running.read(2)
    for path in (settings.feast.repo / "data").glob("online.db*"):
        path.unlink()
    with pytest.raises(Unavailable, match="undertow apply"):
        running.stream._online.look()
    stores.apply_artifact(settings)
    running.stream._online.look()
    running.until(lambda: running.events(NotRestored) and running.events(StoreLost))
    running.stream.close()
    assert "there is no offline log" in running.events(NotRestored)[-1].error
