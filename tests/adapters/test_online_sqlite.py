"""SQLite: Feast's own file under several processes, time zones and missing tables."""

import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Float32, String

from undertow.adapters.feast_bytes import entity_keys
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.embeddings import EmbeddingBatch

VIEW = "har__0a1b2c3d"
JUNE = 1_717_200_000_123_456  # 2024-06-01 00:00:00.123456 UTC
FEASTS_TABLE = (
    'CREATE TABLE "p_har__0a1b2c3d" (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, '
    "vector_value BLOB, event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
)


@pytest.fixture
def path(tmp_path):
    """A file as `feast apply` leaves it."""
    with sqlite3.connect(tmp_path / "online.db") as connection:
        connection.execute(FEASTS_TABLE)
    return tmp_path / "online.db"


def sink(path, **settings):
    return SqliteOnline(path=path, project="p", view=VIEW, **settings)


def batch(*rows):
    return EmbeddingBatch(
        space="0a1b2c3d" * 8,
        series={"wearer": np.array([row[0] for row in rows], object)},
        event_us=np.array([row[1] for row in rows], np.int64),
        created_us=np.full(len(rows), JUNE),
        features={"hidden": np.array([[row[2], 0.1] for row in rows], np.float32)},
    )


def test_without_the_file_it_says_to_apply(tmp_path):
    with pytest.raises(Refused, match="no such file; run: undertow apply"):
        sink(tmp_path / "online.db").write(batch(("s08", JUNE, 1)))
    assert not (tmp_path / "online.db").exists()


def test_without_the_table_it_says_to_apply(path):
    with pytest.raises(Refused, match="no table q_har__0a1b2c3d; run: undertow apply"):
        SqliteOnline(path=path, project="q", view=VIEW).check()


def test_a_table_that_feast_dropped_meanwhile_is_refused_and_a_new_one_begins_empty(path):
    ours = sink(path)
    ours.write(batch(("s08", JUNE, 1)))
    with sqlite3.connect(path) as connection:
        connection.execute('DROP TABLE "p_har__0a1b2c3d"')
    with pytest.raises(Refused, match="run: undertow apply"):
        ours.write(batch(("s08", JUNE + 1, 2)))
    with sqlite3.connect(path) as connection:
        connection.execute(FEASTS_TABLE)
    assert ours.write(batch(("s08", JUNE - 1, 3))) == 1


def test_a_file_that_another_writer_holds_is_unavailable_and_the_same_call_succeeds_afterwards(path):
    ours = sink(path, busy_timeout_s=0)
    ours.check()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        ours.write(batch(("s08", JUNE, 1)))
    other.rollback()
    assert ours.write(batch(("s08", JUNE, 1))) == 1


def test_something_that_is_no_database_is_refused(path):
    path.write_text("not a database, but long enough to be read as the header of one: " + "x" * 100)
    with pytest.raises(Refused, match="not a database"):
        sink(path).write(batch(("s08", JUNE, 1)))


def test_a_batch_that_cannot_be_written_whole_is_not_written_at_all(path):
    ours = sink(path)
    ours.check()
    with sqlite3.connect(path) as connection:
        connection.execute(
            'CREATE TRIGGER full BEFORE INSERT ON "p_har__0a1b2c3d" WHEN NEW.event_us = 13 '
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(Refused):
        ours.write(batch(("s08", JUNE, 1), ("s09", 13, 2)))
    with sqlite3.connect(path) as connection:
        assert connection.execute('SELECT count(*) FROM "p_har__0a1b2c3d"').fetchone() == (0,)


def test_a_writer_keeps_readers_waiting_for_nobody(path):
    ours = sink(path)
    ours.write(batch(("s08", JUNE, 1)))
    reader = sqlite3.connect(path, timeout=0, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute('SELECT count(*) FROM "p_har__0a1b2c3d"').fetchone() == (1,)
    assert ours.write(batch(("s09", JUNE, 1))) == 1
    reader.rollback()


@pytest.fixture
def in_zone(monkeypatch):
    """Move this process to another time zone."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def read_by_feast(path):
    config = RepoConfig(
        project="p",
        provider="local",
        registry="registry.db",
        online_store={"type": "sqlite", "path": str(path)},
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )
    view = FeatureView(
        name=VIEW,
        entities=[Entity(name="wearer", value_type=ValueType.STRING)],
        schema=[Field(name="wearer", dtype=String), Field(name="hidden", dtype=Array(Float32))],
        source=FileSource(name="none", path="none", timestamp_field="event_timestamp"),
    )
    key = EntityKey(join_keys=["wearer"], entity_values=[Value(string_val="s08")])
    ((moment, values),) = SqliteOnlineStore().online_read(config, view, [key])
    return moment, list(values["hidden"].float_list_val.val)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("seconds", [JUNE // 10**6, 0, -3, -2_208_988_800, 253_370_764_800])
def test_feast_in_the_same_time_zone_reads_the_second_of_the_event(path, in_zone, zone, seconds):
    in_zone(zone)
    sink(path).write(batch(("s08", seconds * 10**6 + 999_999, 1)))
    moment, vector = read_by_feast(path)
    assert moment == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert vector == np.array([1, 0.1], np.float32).tolist()


def test_feast_in_another_time_zone_reads_the_same_floats_at_a_shifted_time(path, in_zone):
    in_zone("America/New_York")
    sink(path).write(batch(("s08", JUNE, 1)))
    in_zone("UTC")
    moment, vector = read_by_feast(path)
    assert moment - datetime(2024, 6, 1, tzinfo=UTC) == timedelta(hours=4)
    assert vector == np.array([1, 0.1], np.float32).tolist()


WRITE = """
import sys
import numpy as np
from pathlib import Path
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.adapters.feast_bytes import entity_keys
from undertow.adapters.online_sqlite import SqliteOnline
path, writer, steps, series = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
sink = SqliteOnline(path=path, project="p", view="har__0a1b2c3d")
print("ready", flush=True)
sys.stdin.readline()
for step in range(steps):
    age = (step * 7 + writer * 5) % 13
    sink.write(EmbeddingBatch(
        space="0a1b2c3d" * 8,
        series={"wearer": np.array([f"s{i}" if series > 1 else "s08" for i in range(series)], object)},
        event_us=np.full(series, 1_717_200_000_123_456 + 2 * age + writer, np.int64),
        created_us=np.zeros(series, np.int64),
        features={"hidden": np.full((series, 64), 2 * age + writer, np.float32)},
    ))
"""


def run(code, *arguments, zone="UTC", **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "TZ": zone},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_processes_of_different_time_zones_agree_on_the_newest(path):
    writers = [run(WRITE, path, i, 1, 1, zone=zone) for i, zone in enumerate(["Asia/Tokyo", "America/New_York"])]
    for writer in reversed(writers):
        writer.communicate("go\n")
    with sqlite3.connect(path) as connection:
        ((event_us,),) = connection.execute('SELECT event_us FROM "p_har__0a1b2c3d"')
    assert event_us == JUNE + 11


def test_the_newest_wins_between_processes_that_hammer_the_same_series(path):
    writers = [run(WRITE, path, writer, 26, 40) for writer in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    with sqlite3.connect(path) as connection:
        rows = connection.execute('SELECT event_us, value FROM "p_har__0a1b2c3d"').fetchall()
    assert len(rows) == 40
    assert {(us, np.frombuffer(value, "<f4", 64, len(value) - 256)[0]) for us, value in rows} == {(JUNE + 25, 25)}


def test_guards_that_an_earlier_version_wrote_alone_still_hold_but_not_beside_what_feast_wrote(path):
    """Nor against a row of the same time: when theirs was delivered is not known, and it was before ours."""
    seconds = JUNE // 10**6
    with sqlite3.connect(path) as connection:
        connection.execute('ALTER TABLE "p_har__0a1b2c3d" ADD COLUMN event_us INTEGER')
        keys = entity_keys({"wearer": np.array(["s08", "s09"], object)})
        rows = [(keys[0], seconds, None, JUNE), (keys[1], seconds - 60, seconds, JUNE)]  # the second materialised since
        connection.executemany(
            'INSERT INTO "p_har__0a1b2c3d" (entity_key, feature_name, value, event_ts, created_ts, event_us) '
            "VALUES (?, 'hidden', x'00', ?, ?, ?)",
            rows,
        )
    ours = sink(path)
    assert ours.write(batch(("s08", JUNE - 1, 1), ("s09", JUNE - 1, 1))) == 1
    assert [ours.write(batch(("s08", JUNE, 1))) for _ in range(2)] == [1, 0]
    assert ours.write(batch(("s08", JUNE + 1, 2), ("s09", JUNE - 1, 2))) == 1
