"""What a reader says of wrong settings and of a store that is away, for threads and for asyncio."""

import contextlib
import socket
import sqlite3
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
import redis

import undertow
from tests.reader.conftest import FIRST, JUNE, ids
from undertow.adapters.feast_bytes import entity_keys
from undertow.devstack.processes import LOCALHOST, free_port

pytestmark = pytest.mark.redis

SOON = timedelta(milliseconds=200)
LIGHT = """
import sys
import undertow
assert undertow.Reader and undertow.AsyncReader and undertow.Vectors
print(sorted({"redis", "pyarrow", "pydantic"} & set(sys.modules)))
reader = undertow.Reader(sys.argv[1], name="har")
print(reader.get([{"wearer": "s08", "session": 7}]).found.tolist())
print(sorted({"torch", "ray", "feast", "pandas", "kafka", "pydantic"} & set(sys.modules)))
"""


def test_a_reader_imports_nothing_heavy(world):
    world.write(FIRST, ("s08", JUNE, 1))
    command = [sys.executable, "-c", LIGHT, str(world.repo)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[True]", "[]"]


def test_an_address_alone_finds_the_project_or_asks_for_it(redis_address, applied, open_reader):
    if applied.kind != "redis":
        pytest.skip("of Redis")
    applied.begin()
    name = f"only{applied.project}"
    served = applied.published.served["har"]
    applied.say({name: applied.text().replace('"name": "har"', f'"name": "{name}"')})
    applied.write(FIRST, ("s08", JUNE, 1))
    assert served.name == "har"
    for place in (f"redis://{redis_address}", redis_address):
        assert open_reader(place, name=name).get(ids("s08")).found.all()
    with pytest.raises(undertow.Refused, match="serves no 'unheard'"):
        open_reader(f"redis://{redis_address}", name="unheard").get(ids("s08"))
    with redis.Redis.from_url(f"redis://{redis_address}") as client:
        client.hset("undertow:served", f"another/{name}", "{}")
        with pytest.raises(undertow.Refused, match="projects that serve"):
            open_reader(f"redis://{redis_address}", name=name).get(ids("s08"))
        client.hdel("undertow:served", f"another/{name}")
    assert open_reader(f"redis://{redis_address}", name=name, project=applied.project).get(ids("s08")).found.all()


def test_a_toml_and_a_yaml_name_the_store_too(world, open_reader, tmp_path):
    world.write(FIRST, ("s08", JUNE, 1))
    (tmp_path / "undertow.toml").write_text(f'[feast]\nrepo = "{world.repo}"\n')
    for place in (world.repo / "feature_store.yaml", tmp_path / "undertow.toml", str(tmp_path)):
        assert open_reader(place).get(ids("s08")).found.all()


def test_a_redis_that_is_away_is_unavailable(open_reader):
    with pytest.raises(undertow.Unavailable, match="does not answer now: ConnectionError"):
        open_reader(f"redis://{LOCALHOST}:{free_port()}", timeout=SOON).get(ids("s08"))


def test_a_redis_that_never_answers_is_unavailable(open_reader):
    with socket.create_server((LOCALHOST, 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(undertow.Unavailable, match="does not answer now: TimeoutError"):
            open_reader(f"redis://:s3cret@{LOCALHOST}:{port}", timeout=SOON).get(ids("s08"))


def test_an_sqlite_file_that_is_gone_is_unavailable_and_read_again_when_it_is_back(world, open_reader):
    if world.kind != "sqlite":
        pytest.skip("of SQLite")
    world.write(FIRST, ("s08", JUNE, 1))
    reader = open_reader(world.repo, timeout=SOON)
    path = world.repo / "data/o.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert reader.get(ids("s08")).found.all()
    path.rename(path.with_suffix(".away"))
    with pytest.raises(undertow.Unavailable, match="undertow apply"):
        reader.get(ids("s08"))
    path.with_suffix(".away").rename(path)
    assert reader.get(ids("s08")).found.all()


def test_a_foreign_value_at_a_series_key_reads_as_missing_and_is_told(world, open_reader, redis_address, caplog):
    if world.kind != "redis":
        pytest.skip("of Redis")
    world.write(FIRST, ("s08", JUNE, 1))
    (key,) = entity_keys({"wearer": np.array(["s09"], object), "session": np.array([7])})
    with redis.Redis.from_url(f"redis://{redis_address}") as client:
        client.set(key + world.project.encode(), "something")
    assert open_reader(world.repo).get(ids("s09", "s08")).found.tolist() == [False, True]
    assert "holds a foreign value" in caplog.text


def test_a_value_that_is_no_vector_of_the_space_is_refused(world, open_reader):
    if world.kind != "redis":
        pytest.skip("of Redis")
    world.write(FIRST, ("s08", JUNE, 1))
    spaces = world.text().replace('["hidden", 3]', '["hidden", 4]')
    world.say({"har": spaces})
    with pytest.raises(undertow.Refused, match="expected vectors of 4 numbers in hidden"):
        open_reader(world.repo).get(ids("s08"))


WRONG = {
    "an unknown feature": ({"features": ["hiden"]}, "has no feature 'hiden'; there are: hidden, gate"),
    "features as a text": ({"features": "hidden"}, "expected a list of names"),
    "no feature": ({"features": []}, "expected a list of names"),
    "a feature twice": ({"features": ["gate", "gate"]}, "each once"),
    "an age in seconds": ({"max_age": 60}, "max_age: expected a timedelta or None, found 60"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_question_that_cannot_be_meant_is_refused(world, open_reader, name):
    options, said = WRONG[name]
    with pytest.raises(undertow.Refused, match=said):
        open_reader(world.repo).get(ids("s08"), **options)


def test_a_feature_that_was_not_asked_for_is_named(world, open_reader):
    found = open_reader(world.repo).get(ids("s08"), ["gate"])
    with pytest.raises(KeyError, match="no feature 'hidden' was asked for; there are: gate"):
        found["hidden"]


@pytest.mark.parametrize(
    ("place", "options", "said"),
    [
        ("redis://nobody:s3cret@", {}, "no such URL"),
        ("there/is/none", {}, "expected a Feast config"),
        ("undertow.toml", {}, "cannot read"),
        ("redis://localhost", {"name": ""}, "name: expected the name"),
        ("redis://localhost", {"timeout": timedelta(0)}, "expected a timeout above 0"),
        ("redis://localhost", {"look_every": timedelta(-1)}, "look_every of at least 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_once(place, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(undertow.Refused, match=said) as refusal:
        undertow.Reader(place, **{"name": "har", **options})
    assert "s3cret" not in str(refusal.value)


def test_a_store_that_only_feast_can_read_is_refused(tmp_path):
    (tmp_path / "feature_store.yaml").write_text(
        "project: p\nonline_store: {type: dynamodb}\nentity_key_serialization_version: 3\n"
    )
    with pytest.raises(undertow.Refused, match="is 'dynamodb'"):
        undertow.Reader(tmp_path, name="har")
