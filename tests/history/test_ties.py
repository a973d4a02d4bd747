"""Windows of one series and time that differ: the later record is online, in the history and in Feast's own joins."""

import ibis
import numpy as np
import pandas as pd
import pytest

from tests.feature_repo.stock import copy_of_repo
from tests.fleet import quick_feast
from tests.history.order_world import ENDS, VIEW, World
from undertow.adapters import feast_repo
from undertow.adapters.feast_store import open_store
from undertow.adapters.offline_parts import read_rows
from undertow.history.join import join
from undertow.settings.sections import FeastSettings

pytestmark = pytest.mark.redis
END = ENDS[0]
SERIES = [f"s{number:02d}" for number in range(20)]


@pytest.fixture
def world(tmp_path, redis_address, feast_project):
    world = World(tmp_path, redis_address, feast_project)
    yield world
    world.close()


def as_joined(world, pumps):
    """Return what `undertow join` finds for each series at the time of the ties."""
    asked = pd.DataFrame({"pump": pumps, "event_timestamp": pd.to_datetime([END] * len(pumps), unit="us", utc=True)})
    asked.to_parquet(world.folder / "asked")
    join(world.folder / "asked", world.folder / "joined", log=world.home, view=VIEW, read_memory_bytes=128 << 20)
    return pd.read_parquet(world.folder / "joined")["embedding"].str[0].tolist()


def sent_last(world, pump):
    """Send one window of a series, which is another each time; return its number."""
    world.send(0, pump, END, 0)
    return world.number


def test_of_two_windows_of_one_time_the_later_is_online_and_in_the_history_be_they_sent_at_once_or_apart(world):
    second = {}
    for pump in SERIES[:10]:
        sent_last(world, pump)
        second[pump] = sent_last(world, pump)
    for _ in range(2):
        second |= {pump: sent_last(world, pump) for pump in SERIES[10:]}
        world.finish()  # each in a part of its own, by an owner of its own
        world.now += 6
    assert world.online() == {pump: (END, number) for pump, number in second.items()}
    assert as_joined(world, SERIES) == [second[pump] for pump in SERIES]


def test_of_two_windows_of_one_time_in_one_part_feasts_own_join_gives_the_later_for_every_row(world):
    for pump in SERIES:
        sent_last(world, pump)
    second = {pump: sent_last(world, pump) for pump in SERIES}
    world.finish()
    rows = read_rows(world.home)
    assert len(rows) == 40
    feast = FeastSettings(repo=copy_of_repo(world.folder / "feast"))
    feast_repo.register(feast.repo, VIEW, world.home, promote=True)
    quick_feast.apply(feast, {VIEW.view: True})
    asked = pd.DataFrame({"pump": np.repeat(SERIES, 1_000)})
    asked["event_timestamp"] = pd.to_datetime(END + np.arange(len(asked)) % 1_000 * 1_000, unit="us", utc=True)
    store = open_store(feast)
    found = store.get_historical_features(asked, store.get_feature_service(VIEW.name)).to_df()
    ibis.options.default_backend = None  # Feast's DuckDB; held to the end, it complains of leaks when Python ends
    numbers = found["embedding"].str[0].groupby(found["pump"]).unique()
    assert len(found) == len(asked)
    assert {pump: list(seen) for pump, seen in numbers.items()} == {pump: [n] for pump, n in second.items()}


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000])
def test_a_mended_letter_and_then_corrected_history_win_over_what_is_there(world, ahead_ms):
    """Also where the producers' clocks are an hour ahead of ours."""
    world.send(0, "a", END, -ahead_ms)
    world.refuse(0, ahead_ms)
    world.finish()
    assert world.online() == {"a": (END, 1)}
    mended = sent_last(world, "a")  # to the partition that it came from, stamped by our clock
    world.finish()
    assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, mended)}, [mended])
    world.backfill([("a", END)], "ends")
    corrected = world.number
    assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, corrected)}, [corrected])
    world.now -= 3_600
    world.backfill([("a", END), ("a", END)], "ends")
    assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, world.number)}, [world.number])


def test_a_clock_that_is_set_back_by_an_hour_changes_nothing(world):
    for _ in range(3):
        last = sent_last(world, "a")
        world.finish()
        world.now -= 3_600
        assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, last)}, [last])


def test_a_zombie_that_comes_to_a_record_late_does_not_undo_its_correction(world):
    sent_last(world, "a")
    for other in ("b", "c"):
        sent_last(world, other)
    corrected = sent_last(world, "a")
    world.finish()
    world.now += 60
    world.take(1)  # who was replaced reads the first three, a minute after its successor
    assert world.online()["a"] == (END, corrected)
    assert as_joined(world, ["a"]) == [corrected]


def test_a_write_that_stands_still_while_its_record_is_corrected_changes_nothing_when_it_goes_on(world):
    sent_last(world, "a")
    world.stall(0)
    world.take(0)
    corrected = sent_last(world, "a")
    world.finish()
    world.wake(0)
    assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, corrected)}, [corrected])


def test_of_a_record_that_an_owner_took_before_it_died_a_correction_wins_though_a_refused_one_was_stamped_ahead(world):
    world.refuse(0, 3_600_000)
    world.take(0)
    world.checkpoint(0)
    sent_last(world, "a")
    world.take(0)  # online, and in no part
    world.replace_owner()
    corrected = sent_last(world, "a")
    world.finish()
    assert (world.online(), as_joined(world, ["a"])) == ({"a": (END, corrected)}, [corrected])
