"""An online store filled again from the log: by what is newest, beside who writes to it, again where it was killed."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import redis
from rich.console import Console

from tests.history.test_join import JUNE, VIEW, write_part
from undertow.adapters.feast_bytes import entity_keys, redis_field, timestamp_field, timestamps
from undertow.adapters.memory_source import Crash
from undertow.adapters.memory_stores import MemoryOnline
from undertow.adapters.online_redis import RedisOnline
from undertow.core.errors import Refused, Unavailable
from undertow.history.rebuild import rebuild, retry
from undertow.schemas.embeddings import EmbeddingBatch

MEMORY = 128 << 20
SERIES = 20_000
"""For a rebuild that is killed on its way: some seconds of it."""


def fill(log, online, on_progress=lambda *_: None, **options):
    calm = retry(Console(quiet=True), wait=lambda _: None)
    return rebuild(log, VIEW, online, read_memory_bytes=MEMORY, retry=calm, on_progress=on_progress, **options)


def batch(laps, event_us, number):
    return EmbeddingBatch(
        space=VIEW.space,
        series={"site": np.full(len(laps), "a", object), "lap": np.asarray(laps, np.int64)},
        event_us=np.full(len(laps), event_us),
        created_us=np.full(len(laps), JUNE),
        features={
            "hidden": np.full((len(laps), 2), number, np.float32),
            "gate": np.full((len(laps), 1), number, np.float32),
        },
    )


def shown(online):
    return {ids: (row.event_us - JUNE, *row.features["gate"].tolist()) for ids, row in online.rows.items()}


def test_each_series_gets_its_newest_row_and_of_those_delivered_twice_the_last(tmp_path):
    write_part(tmp_path / "w/0/0.parquet", [("a", 1, JUNE + 5, JUNE, 0, 1.0), ("b", 1, JUNE + 9, JUNE, 1, 2.0)])
    write_part(tmp_path / "w/0/2.parquet", [("a", 1, JUNE + 5, JUNE + 1, 2, 3.0), ("a", 1, JUNE + 4, JUNE + 2, 3, 4.0)])
    write_part(tmp_path / "@backfill/j/x.parquet", [("a", -2, JUNE, JUNE + 9, None, 5.0)])
    online, seen = MemoryOnline(), []
    done = fill(tmp_path, online, lambda *numbers: seen.append(numbers))
    assert shown(online) == {("a", 1): (5, 3.0), ("b", 1): (9, 2.0), ("a", -2): (0, 5.0)}
    assert online.rows["a", 1].features["hidden"].tolist() == [3, -3]
    assert (done.series, done.written) == (3, 3)
    assert (seen[0], seen[-1]) == ((0, 3, 0), (3, 3, 3))
    assert fill(tmp_path, online).written == 0


def test_as_of_a_time_it_is_what_an_empty_store_would_have_held_then_and_corrections_since_do_not_count(tmp_path):
    at = JUNE + 10  # when the second row of lap 1 and the only one of lap 2 were delivered
    write_part(tmp_path / "w/0/0.parquet", [("a", 1, JUNE, at - 1, 0, 1.0), ("a", 2, JUNE + 90, at, 1, 2.0)])
    write_part(tmp_path / "w/0/2.parquet", [("a", 1, JUNE + 5, at, 2, 3.0), ("a", 1, JUNE + 9, at + 1, 3, 4.0)])
    write_part(
        tmp_path / "@backfill/j/x.parquet", [("a", 1, JUNE + 5, at + 9, None, 5.0), ("a", 3, JUNE, at + 9, None, 6.0)]
    )
    online = MemoryOnline()
    done = fill(tmp_path, online, as_of_us=at)
    assert (shown(online), done.series) == ({("a", 1): (5, 3.0), ("a", 2): (90, 2.0)}, 2)
    assert fill(tmp_path, online).written == 2  # the corrected lap 1, and lap 3
    assert shown(online) == {("a", 1): (9, 4.0), ("a", 2): (90, 2.0), ("a", 3): (0, 6.0)}
    with pytest.raises(Refused, match=r"had been delivered by 2024-06-01T00:00:00\.\d+Z; ask for a later --as-of"):
        fill(tmp_path, MemoryOnline(), as_of_us=at - 2)


def test_what_is_newer_online_stays_and_what_is_older_goes(tmp_path):
    write_part(tmp_path / "0.parquet", [("a", lap, JUNE + 5, JUNE, lap, 1.0) for lap in range(3)])
    online = MemoryOnline()
    online.write(batch([0], JUNE + 6, 7))
    online.write(batch([1], JUNE + 4, 7))
    done = fill(tmp_path, online)
    assert shown(online) == {("a", 0): (6, 7), ("a", 1): (5, 1), ("a", 2): (5, 1)}
    assert (done.series, done.written) == (3, 2)


def test_a_store_that_does_not_answer_is_waited_for_and_a_rebuild_that_died_is_begun_again(tmp_path):
    write_part(tmp_path / "0.parquet", [("a", lap, JUNE, JUNE, lap, float(lap)) for lap in range(5_000)])
    online = MemoryOnline(writes=[None, Unavailable("away"), Unavailable("away"), None, Crash()])
    with pytest.raises(Crash):
        fill(tmp_path, online)
    there = len(online.rows)
    assert 0 < there < 5_000
    assert fill(tmp_path, online).written == 5_000 - there
    assert {row.features["gate"][0] for row in online.rows.values()} == set(range(5_000))


def test_a_log_without_rows_is_no_rebuild(tmp_path):
    for _ in range(2):
        with pytest.raises(Refused, match=r"no row of pump__aaaaaaaa below .*; run `undertow backfill` first"):
            fill(tmp_path, MemoryOnline())
        write_part(tmp_path / "00000-schema.parquet", [])


# Beside a live stream, killed --------------------------------------------------------------------------------------

REBUILD = """
import sys
from pathlib import Path
from rich.console import Console
sys.path.insert(0, sys.argv[1])
from tests.history.test_rebuild import fill, sink
fill(Path(sys.argv[2]), sink(sys.argv[3], sys.argv[4]))
"""


def sink(address, project):
    return RedisOnline(options={"connection_string": address}, project=project, view=VIEW.view)


@pytest.mark.redis
def test_killed_in_the_middle_beside_a_live_stream_and_started_again_every_series_shows_its_newest(
    redis_address, feast_project, tmp_path
):
    for part in range(4):
        rows = [("a", lap, JUNE + 5, JUNE, lap, 1.0) for lap in range(part, SERIES, 4)]
        write_part(tmp_path / f"log/{part}.parquet", rows)
    server, ends = redis.Redis.from_url(f"redis://{redis_address}"), threading.Event()
    keys = [key + feast_project.encode() for key in entity_keys(batch(range(SERIES), 0, 0).series)]
    live, older = range(0, SERIES, 3), range(1, SERIES, 3)

    def stream():
        """What a fleet writes meanwhile, in the order of its records: newer vectors of some series, older of others."""
        online = sink(redis_address, feast_project)
        while not ends.is_set():
            for first in range(0, len(live), 256):
                online.write(batch(live[first : first + 256], JUNE + 6, 7))
                online.write(batch(older[first : first + 256], JUNE + 4, 8))
        online.close()

    def held():
        return int(server.exists(*keys))

    beside = threading.Thread(target=stream)
    command = [sys.executable, "-c", REBUILD, str(Path(__file__).parents[2]), str(tmp_path / "log")]
    command += [redis_address, feast_project]
    killed = subprocess.Popen(command)
    while not held():
        assert killed.poll() is None
    killed.kill()
    assert killed.wait() < 0
    there = held()
    assert 0 < there < SERIES
    beside.start()
    try:
        assert subprocess.run(command, check=False).returncode == 0
    finally:
        ends.set()
        beside.join()
    fields = [timestamp_field(VIEW.view), redis_field(VIEW.view, "gate")]
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.hmget(key, fields)
    found = pipeline.execute()
    newer, logged = timestamps(np.array([JUNE + 6, JUNE + 5]))
    is_live = np.isin(np.arange(SERIES), live)
    assert [time for time, _ in found] == [newer if one else logged for one in is_live]
    assert [np.frombuffer(value[-4:], "<f4")[0] for _, value in found] == [7 if one else 1 for one in is_live]
    server.delete(*keys)
