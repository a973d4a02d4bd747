"""What others keep in Redis where a series belongs is no reason to stop: it is named, its neighbours are written."""

import logging

import pytest

from tests.adapters.test_online_redis import JUNE, VIEW, Feasts, batch, client
from undertow.adapters.feast_bytes import redis_field, timestamp_field
from undertow.adapters.online_redis import ORDER, RedisOnline

pytestmark = pytest.mark.redis
WEARERS = [f"s{number:03d}" for number in range(100)]  # more than one chunk


@pytest.fixture
def place(redis_address, feast_project):
    """A sink by whether it replaces, and the key of one series."""

    def sink(*, replace_alien_keys: bool = False) -> RedisOnline:
        options = {"connection_string": redis_address}
        return RedisOnline(options=options, project=feast_project, view=VIEW, replace_alien_keys=replace_alien_keys)

    def key(wearer: str) -> bytes:
        sink().write(batch((wearer, JUNE - 10, 0)))
        found = [one for one in client(redis_address).keys(f"*{feast_project}") if wearer.encode() in one]
        (one,) = found
        client(redis_address).delete(one)
        return one

    return sink, key, client(redis_address), Feasts(redis_address, feast_project)


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="undertow")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def rows(number):
    return batch(*((wearer, JUNE + number, number) for wearer in WEARERS))


def test_a_string_where_a_series_belongs_stays_is_named_once_and_its_neighbours_are_written(place, warnings):
    sink, key, connection, feasts = place
    alien = key("s007")
    connection.set(alien, "mine")
    ours = sink()
    assert ours.write(rows(1)) == 99
    assert ours.write(rows(2)) == 99
    assert connection.get(alien) == b"mine"
    assert {feasts.number(wearer) for wearer in WEARERS if wearer != "s007"} == {2}
    (said,) = warnings()
    assert said.startswith("1 series have keys in Redis that hold something else than a hash")
    for part in ("(wearer=s007, session=7)", "feast.replace_alien_keys", "undertow rebuild"):
        assert part in said
    assert said.isprintable()
    connection.delete(alien)
    assert ours.write(rows(2)) == 1
    assert feasts.number("s007") == 2


def test_where_the_setting_lets_us_it_is_replaced_and_that_is_told(place, warnings):
    sink, key, connection, feasts = place
    for kind, wearer in enumerate(("s001", "s002", "s003", "s004", "s005")):
        alien = key(wearer)
        connection.rpush(alien, "a") if kind % 2 else connection.set(alien, "a")
    assert sink(replace_alien_keys=True).write(rows(3)) == 100
    assert {feasts.number(wearer) for wearer in WEARERS} == {3}
    (said,) = warnings()
    assert said.startswith("5 series have keys in Redis")
    assert "was replaced" in said


@pytest.mark.parametrize("held", [b"", b"\x08", b"\x08\xff\xff", b"\x10", b"text", b"\xff" * 40], ids=repr)
def test_a_field_that_holds_no_time_is_written_over(place, held):
    sink, key, connection, feasts = place
    connection.hset(key("s007"), mapping={timestamp_field(VIEW): held, redis_field(VIEW, ORDER): held})
    assert sink().write(batch(("s007", JUNE, 4), ("s008", JUNE, 4))) == 2
    assert feasts.number("s007") == 4
