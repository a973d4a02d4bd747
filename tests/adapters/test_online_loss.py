"""A store that has lost data is seen by the next who writes or looks: once each, and one of them restores it."""

import shutil
import sqlite3

import pytest
import redis

from tests.adapters.test_online_redis import client, private, run  # noqa: F401 - a fixture
from tests.adapters.test_online_sqlite import FEASTS_TABLE, JUNE, VIEW, batch
from undertow.adapters.online_postgres import PostgresOnline
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.core.errors import Refused, Unavailable
from undertow.devstack.processes import stop
from undertow.stream.store_tally import BY_ANOTHER, EMPTIED, OLDER, UNFINISHED, UNKNOWN


class RedisStore:
    def __init__(self, server, processes):
        self._server, self._processes = server, processes

    def sink(self, on_loss=None, view=VIEW):
        options = {"connection_string": self._server.address}
        return RedisOnline(options=options, project="p", view=view, on_loss=on_loss)

    def empty(self):
        client(self._server.address).flushall()
        client(self._server.address).script_flush()

    def keep(self):
        client(self._server.address).save()

    def go_back(self):
        client(self._server.address).config_set("save", "")
        stop(self._processes[-1], grace_seconds=10)
        self._processes.append(run(self._server))


class SqliteStore:
    def __init__(self, folder):
        self._path = folder / "online.db"
        self.make()

    def make(self):
        with sqlite3.connect(self._path) as connection:
            connection.execute(FEASTS_TABLE)

    def sink(self, on_loss=None):
        return SqliteOnline(path=self._path, project="p", view=VIEW, on_loss=on_loss)

    def empty(self):
        for path in self._path.parent.glob("online.db*"):
            path.rename(path.with_name(f"moved-{path.name}"))
        self.make()

    def keep(self):
        with sqlite3.connect(self._path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self._path, self._path.with_name("kept"))

    def go_back(self):
        for path in self._path.parent.glob("online.db*"):
            path.unlink()
        self._path.with_name("kept").rename(self._path)


class PostgresStore:
    def __init__(self, server, schema):
        self._server, self.options = server, server.options(db_schema=schema)
        self._table = f'"{schema}"."p_{VIEW}"'
        self.do(f'CREATE SCHEMA "{schema}"')
        self.make()

    def do(self, *statements):
        with self._server.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def make(self):
        columns = "entity_key BYTEA, feature_name TEXT, value BYTEA, value_text TEXT, vector_value vector"
        key = "PRIMARY KEY (entity_key, feature_name)"
        self.do(f"CREATE TABLE {self._table} ({columns}, event_ts TIMESTAMPTZ, created_ts TIMESTAMPTZ, {key})")

    def drop(self):
        self.do(f"DROP TABLE {self._table}")

    def sink(self, on_loss=None):
        return PostgresOnline(options=self.options, project="p", view=VIEW, on_loss=on_loss)

    def empty(self):
        self.do(f"TRUNCATE {self._table}")

    def keep(self):
        self.do(f'CREATE TABLE {self._table[:-1]}_kept" AS TABLE {self._table}')

    def go_back(self):
        self.empty()
        self.do(f'INSERT INTO {self._table} SELECT * FROM {self._table[:-1]}_kept"')


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.redis), "sqlite", "postgres"])
def store(request, tmp_path, feast_project):
    if request.param == "sqlite":
        return SqliteStore(tmp_path)
    if request.param == "postgres":
        return PostgresStore(request.getfixturevalue("postgres"), feast_project)
    return RedisStore(*request.getfixturevalue("private"))


class Writer:
    """A sink with all that it has told of losses."""

    def __init__(self, store):
        self.told, self._event_us = [], JUNE
        self.sink = store.sink(self.told.append)

    def write(self):
        self._event_us += 1
        self.sink.write(batch(("s08", self._event_us, 1)))
        return self.said()

    def look(self):
        self.sink.look()
        return self.said()

    def said(self):
        said = [(loss.reason, loss.is_ours, loss.is_first) for loss in self.told]
        self.told.clear()
        return said


@pytest.fixture
def fleet(store):
    """Two writers of a store that was found new and made good."""
    one, two = Writer(store), Writer(store)
    one.sink.write(batch(("s08", JUNE, 1)))
    (loss,) = one.told
    assert one.said() == [(UNKNOWN, True, True)]
    one.sink.restored(loss.claim)
    assert (one.write(), two.write(), two.look(), one.look()) == ([], [], [], [])
    return one, two


def test_what_was_emptied_is_seen_by_each_and_restored_by_the_first(store, fleet):
    one, two = fleet
    store.empty()
    assert (two.write(), one.write()) == ([(EMPTIED, True, False)], [(BY_ANOTHER, False, False)])
    assert (two.write(), one.write(), one.look()) == ([], [], [])
    store.empty()
    assert (one.look(), two.look()) == ([(EMPTIED, True, False)], [(BY_ANOTHER, False, False)])
    assert (one.look(), two.look(), two.write()) == ([], [], [])


def test_a_store_that_went_back_to_before_the_last_writes_is_seen_by_who_made_them(store, fleet):
    one, two = fleet
    store.keep()
    one.write()
    store.go_back()
    assert two.write() == []
    assert one.look() == [(OLDER, True, False)]
    assert two.write() == [(BY_ANOTHER, False, False)]
    assert (one.write(), two.look()) == ([], [])


def test_a_store_that_went_back_to_before_a_restore_is_restored_again(store, fleet):
    one, two = fleet
    store.keep()
    store.empty()
    assert (one.write(), two.write()) == ([(EMPTIED, True, False)], [(BY_ANOTHER, False, False)])
    store.go_back()
    assert (one.look(), two.look()) == ([(OLDER, True, False)], [(BY_ANOTHER, False, False)])
    assert (two.write(), one.write()) == ([], [])


def test_a_restore_that_nobody_finished_is_begun_again_by_whoever_comes_next(store, fleet):
    one, _ = fleet
    store.empty()
    one.look()
    assert Writer(store).write() == [(UNFINISHED, True, True)]
    third = Writer(store)
    third.sink.look()
    (loss,) = third.told
    third.sink.restored("of an earlier loss")
    assert Writer(store).look() == [(UNFINISHED, True, True)]
    third.sink.restored(loss.claim)
    assert Writer(store).write() == []


def test_who_does_not_ask_leaves_no_marks_and_sees_none(store, fleet):
    one, _ = fleet
    store.empty()
    plain = store.sink()
    plain.write(batch(("s08", JUNE, 1)))
    plain.look()
    assert one.look() == [(EMPTIED, True, False)]


@pytest.mark.redis
def test_a_view_has_marks_of_its_own(private):  # noqa: F811 - the fixture
    told = []
    store = RedisStore(*private)
    store.sink(told.append).look()
    store.sink(told.append, view="ecg__ffffffff").look()
    assert len({loss.claim for loss in told}) == 2


def test_a_file_or_a_table_that_is_gone_is_waited_for_and_then_seen_as_a_loss(tmp_path):
    store = SqliteStore(tmp_path)
    writer = Writer(store)
    writer.write()
    (tmp_path / "online.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(Unavailable, match="found no such file; run: undertow apply"):
        writer.write()
    with pytest.raises(Refused, match="found no such file; run: undertow apply"):
        Writer(store).write()
    store.make()
    assert writer.write()[-1] == (EMPTIED, True, False)
    with sqlite3.connect(tmp_path / "online.db") as connection:
        assert connection.execute('SELECT count(*) FROM "p_har__0a1b2c3d"').fetchall() == [(1,)]
        connection.execute(f'DROP TABLE "p_{VIEW}"')
    with pytest.raises(Unavailable, match=f"found no table p_{VIEW}; run: undertow apply"):
        writer.write()
    store.make()
    assert writer.write() == [(EMPTIED, True, False)]


@pytest.mark.postgres
def test_a_table_in_postgres_that_is_gone_is_waited_for_and_then_seen_as_a_loss(postgres, feast_project):
    store = PostgresStore(postgres, feast_project)
    writer = Writer(store)
    writer.write()
    store.drop()
    for wait in (writer.write, writer.look):
        with pytest.raises(Unavailable, match=f"the table p_{VIEW} .* found none; run: undertow apply"):
            wait()
    with pytest.raises(Refused, match=f"the table p_{VIEW} .* found none; run: undertow apply"):
        Writer(store).write()
    store.make()
    assert writer.write() == [(EMPTIED, True, False)]
    store.do(f'DELETE FROM "{feast_project}"."p_{VIEW}"')
    assert writer.look() == [(EMPTIED, True, False)]


@pytest.mark.postgres
def test_a_statement_that_deletes_old_vectors_takes_no_tally_with_it(postgres, feast_project):
    store = PostgresStore(postgres, feast_project)
    writer = Writer(store)
    writer.write()
    store.do(f'DELETE FROM "{feast_project}"."p_{VIEW}" WHERE event_ts < now()')
    assert (writer.look(), writer.write()) == ([], [])


@pytest.mark.redis
def test_a_window_that_is_delivered_again_prolongs_the_life_of_its_key(redis_address, feast_project):
    options = {"connection_string": redis_address, "key_ttl_seconds": 100}
    sink = RedisOnline(options=options, project=feast_project, view=VIEW)
    first, again = batch(("s08", JUNE, 1)), batch(("s08", JUNE, 1))
    again.created_us[:] += 1
    sink.write(first)
    host, port = redis_address.split(":")
    connection = redis.Redis(host, int(port))
    (key,) = connection.keys(f"*{feast_project}")
    connection.expire(key, 8)
    assert sink.write(first) == 0
    assert connection.ttl(key) <= 8
    assert sink.write(again) == 1
    assert connection.ttl(key) > 90
