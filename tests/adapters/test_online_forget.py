"""Series leave an online store, at once, and nothing else does: seen by Feast's own readers and in the bytes."""

import numpy as np
import pytest
import redis

from tests.adapters.online_stores import JUNE, VIEW, FeastReads, batch, number
from tests.adapters.test_online_loss import fleet, store  # noqa: F401 - fixtures
from tests.adapters.test_online_redis import private  # noqa: F401 - a fixture
from tests.adapters.test_online_sqlite import batch as rows_of_fleet
from undertow.adapters.online_redis import RedisOnline

FEATURES = ("hidden", "gate")


def series(*wearers, session=7):
    return {"wearer": np.array(wearers, object), "session": np.full(len(wearers), session, np.int64)}


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.redis), "sqlite", "postgres"])
def feasts(request, tmp_path, feast_project):
    options = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    if request.param == "redis":
        options = {"type": "redis", "connection_string": request.getfixturevalue("redis_address")}
    elif request.param == "postgres":
        options = request.getfixturevalue("postgres").options()
    return FeastReads(request.param, feast_project, options, tmp_path)


def held(sink, ids):
    return sink.count_held(ids, FEATURES) if isinstance(sink, RedisOnline) else sink.count_held(ids)


def forget(sink, ids):
    return sink.forget(ids, FEATURES) if isinstance(sink, RedisOnline) else sink.forget(ids)


def test_feast_finds_nothing_of_it_and_all_of_others_and_what_comes_later_is_new(feasts):
    sink = feasts.sink()
    odd = ["it's", 'a"b', "日本", "", "s08"]
    sink.write(batch(*((one, JUNE, place) for place, one in enumerate([*odd, "s09"]))))
    assert held(sink, series(*odd, "s10")) == 5
    assert held(sink, series("s08", session=8)) == 0
    assert forget(sink, series("s08", session=8)) == 0
    assert forget(sink, series(*odd, "s10")) == 5
    assert [feasts.read(one) for one in odd] == [(None, None)] * 5
    assert number(feasts, "s09") == 5
    assert (held(sink, series(*odd)), forget(sink, series(*odd))) == (0, 0)
    assert sink.write(batch(("s08", JUNE - 9, 4))) == 1  # no guard of the former rows is left
    assert number(feasts, "s08") == 4


def test_more_series_than_one_pipeline_takes(feasts):
    names = [f"w{place}" for place in range(2_500)]
    sink = feasts.sink()
    sink.write(batch(*((name, JUNE, 1) for name in names)))
    assert held(sink, series(*names)) == 2_500
    assert forget(sink, series(*names[1:])) == 2_499
    assert held(sink, series(*names)) == 1


def test_it_is_not_taken_for_a_loss(store, fleet):  # noqa: F811 - the fixtures
    one, two = fleet
    sink = store.sink()
    assert forget(sink, rows_of_fleet(("s08", JUNE, 1)).series) == 1
    assert (one.look(), two.look(), one.write(), two.write()) == ([], [], [], [])


@pytest.mark.redis
def test_of_a_key_in_redis_values_of_other_views_stay_and_no_key_without_any(redis_address, feast_project):
    options = {"connection_string": redis_address}
    ours, other = (RedisOnline(options=options, project=feast_project, view=view) for view in (VIEW, "ecg__ffffffff"))
    ours.write(batch(("s08", JUNE, 1), ("s09", JUNE, 1)))
    other.write(batch(("s08", JUNE, 2)))
    host, port = redis_address.split(":")
    connection = redis.Redis(host, int(port))
    assert forget(ours, series("s08", "s09")) == 2
    (key,) = connection.keys(f"*{feast_project}")
    assert (connection.hlen(key), held(other, series("s08"))) == (4, 1)
    connection.delete(key)
    connection.set(key, "of another program")
    assert (held(ours, series("s08")), forget(ours, series("s08"))) == (0, 0)
    assert connection.get(key) == b"of another program"


def test_no_byte_of_it_stays_in_the_file_of_sqlite(tmp_path, feast_project):
    feasts = FeastReads("sqlite", feast_project, {"type": "sqlite", "path": str(tmp_path / "online.db")}, tmp_path)
    sink = feasts.sink()
    sink.write(batch(("a-person", JUNE, 12345.0), ("another", JUNE, 1)))
    value = np.float32(12345.0).tobytes()

    def content():
        return b"".join(path.read_bytes() for path in tmp_path.glob("online.db*"))

    assert b"a-person" in content()
    sink.forget(series("a-person"))  # while others have the file open
    assert (b"a-person" in content(), value in content(), b"another" in content()) == (False, False, True)
    sink.close()
