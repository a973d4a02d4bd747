"""`undertow.Reader` on Postgres: what stock Feast reads, the promoted space, neighbours, and a store that is away."""

import json
import threading
import uuid
from datetime import timedelta

import numpy as np
import pytest

import undertow
from tests.reader.conftest import CONFIG, FIRST, JUNE, JUNE_S, SECOND, SIMPLE, World, ids, vectors_of
from undertow.adapters.postgres_served import write_postgres_served

pytestmark = pytest.mark.postgres


class PostgresWorld(World):
    def say(self, records):
        write_postgres_served(self.published.options, self.project, records)


@pytest.fixture(scope="module")
def applied(postgres, tmp_path_factory):
    world = PostgresWorld(
        tmp_path_factory.mktemp("reader"),
        f"reader_{uuid.uuid4().hex[:12]}",
        "postgres",
        json.dumps(postgres.options()),
    )
    world.apply(FIRST, SIMPLE)
    world.apply(SECOND)
    world.read_applied()
    return world


@pytest.fixture
def world(applied, postgres):
    applied.say({name: one.to_text() for name, one in applied.published.served.items()})
    with postgres.connect() as connection:
        for view in (FIRST, SECOND, SIMPLE):
            connection.execute(f'TRUNCATE "{applied.project}_{view.view}"')
    return applied


def test_what_it_reads_is_what_feast_reads_and_it_follows_the_promoted_space(world, open_reader):
    world.write(FIRST, ("s08", JUNE, 1.5), ("s09", JUNE + 1, 2))
    world.write(SECOND, ("s08", JUNE + 5, 7))
    reader = open_reader(world.repo, look_every=timedelta(0))
    found = reader.get(ids("s09", "nobody", "s08"))
    assert (found.found.tolist(), found.view) == ([True, False, True], FIRST.view)
    assert found.event_time[found.found].astype(np.int64).tolist() == [JUNE + 1, JUNE]
    stock = world.stock(FIRST, ids("s09", "s08"))
    assert found["hidden"][found.found].tolist() == stock["hidden"]
    world.say({"har": world.text(SECOND)})
    assert reader.get(ids("s08"))["hidden"][0].tolist() == vectors_of([7], 3)[0].tolist()


def test_neighbours_are_those_that_numpy_finds_and_the_tally_of_writers_is_none_of_them(world, open_reader):
    numbers = np.random.default_rng(1).normal(size=60).round(3)
    world.write(SIMPLE, *((f"w{place}", JUNE, number) for place, number in enumerate(numbers)))
    with undertow.Reader(world.repo, name="ecg") as plain:
        assert len(plain.get([{"wearer": f"w{place}"} for place in range(60)]).vectors) == 60
    near = open_reader(world.repo, name="ecg").neighbours([0.3, 0.4], 5, metric="euclidean")
    vectors = vectors_of(numbers.tolist(), 2)
    order = np.argsort(np.linalg.norm(vectors - np.float32([0.3, 0.4]), axis=1), kind="stable")[:5]
    assert list(near.series["wearer"]) == [f"w{place}" for place in order]
    assert near.indexed == 60


def test_many_threads_ask_at_once(world):
    world.write(FIRST, *((f"s{place}", JUNE, place) for place in range(20)))
    errors, start = [], threading.Barrier(6)

    def ask(reader, place):
        start.wait()
        for _ in range(10):
            numbers = reader.get(ids(f"s{place}"))["hidden"][0][0]
            if numbers != place:
                errors.append((place, numbers))

    with undertow.Reader(world.repo, name="har", now=lambda: JUNE_S) as reader:
        threads = [threading.Thread(target=ask, args=(reader, place)) for place in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_whoever_may_only_select_reads_and_a_closed_connection_is_made_again(world, postgres):
    world.write(FIRST, ("s08", JUNE, 1))
    role = f"r{uuid.uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush-hush-hush'")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        place = world.folder / "reader.yaml"
        options = postgres.options(user=role, password="hush-hush-hush")
        place.write_text(CONFIG.format(project=world.project, folder=world.folder, store=json.dumps(options)))
        with undertow.Reader(place, name="har", now=lambda: JUNE_S) as reader:
            assert reader.get(ids("s08")).found.tolist() == [True]
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
            assert reader.get(ids("s08")).found.tolist() == [True]


def test_a_server_that_is_away_and_a_table_that_is_gone_are_unavailable(world, postgres):
    place = world.folder / "away.yaml"
    options = json.dumps(postgres.options(port=1))
    place.write_text(CONFIG.format(project=world.project, folder=world.folder, store=options))
    with (
        undertow.Reader(place, name="har") as reader,
        pytest.raises(undertow.Unavailable, match=r"does not answer now: .*refused"),
    ):
        reader.get(ids("s08"))
    with postgres.connect() as connection, undertow.Reader(world.repo, name="har") as reader:
        table = f'"{world.project}_{FIRST.view}"'
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        with pytest.raises(undertow.Unavailable, match="run: undertow apply"):
            reader.get(ids("s08"))
        connection.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
