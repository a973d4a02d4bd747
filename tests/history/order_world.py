"""What an order of delivery is tried on: two partitions, a log, three online stores, and who writes to them and dies.

In: a folder, a real Redis. Out: `World`, whose acts are records, deliveries, checkpoints, replacements and backfills.
"""

import json
import sqlite3
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from tests.stream.conftest import CONTRACT, embed
from undertow.adapters.feast_bytes import entity_keys, redis_field, timestamp_field, timestamps
from undertow.adapters.memory_source import Crash, MemoryBroker, MemorySource
from undertow.adapters.memory_stores import MemoryDeadLetters, MemoryOnline
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import claim_folder
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.backfill.begin import begin_run
from undertow.backfill.chunks import cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.core.errors import Replaced
from undertow.schemas.contract import IdColumn
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.stream.checkpoint import Limits
from undertow.stream.loop import Stream

VIEW = SpaceView(
    name="pump", space="0" * 64, series=(IdColumn(name="pump", type="string"),), features=(("embedding", 2),)
)
PARTITIONS = (Partition("windows", 0), Partition("windows", 1))
JUNE_S = 1_717_200_000.0
ENDS = (int(JUNE_S) * 10**6, int(JUNE_S) * 10**6 + 1)
FEASTS_TABLE = (
    'CREATE TABLE "p_{}" (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB, '
    "event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
)


class Stalling:
    """Writes to all stores at once, or keeps what it was given: a process that stands still before its write."""

    def __init__(self, stores):
        self.stores, self.kept, self.is_stalled = stores, [], False

    def write(self, batch):
        if self.is_stalled:
            self.kept.append(batch)
            return 0
        (written,) = {store.write(batch) for store in self.stores}
        return written

    def wake(self):
        self.is_stalled, kept, self.kept = False, self.kept, []
        for batch in kept:
            self.write(batch)

    def look(self): ...
    def check(self): ...
    def close(self): ...


class World:
    """Partitions, a log and three stores, which outlive who works on them."""

    def __init__(self, folder: Path, redis_address: str, project: str) -> None:
        self.folder, self.project, self.now = folder, project, JUNE_S + 60
        self.server = redis.Redis.from_url(f"redis://{redis_address}")
        self.home = claim_folder(folder / "log", VIEW)
        with sqlite3.connect(folder / "online.db") as connection:
            connection.execute(FEASTS_TABLE.format(VIEW.view))
        self.memory = MemoryOnline()
        self.stores = (
            self.memory,
            RedisOnline(options={"connection_string": redis_address}, project=project, view=VIEW.view),
            SqliteOnline(path=folder / "online.db", project="p", view=VIEW.view),
        )
        self.broker = MemoryBroker()
        self.owners: list[tuple[Stream, Stalling]] = []
        self.late: list[Stalling] = []
        self.unfinished: list[BackfillRecipe] = []
        self.number = 0
        self.replace_owner()

    def vector(self, pump, end):
        """Return a window that was never sent before: its vector is how many were, twice."""
        self.number += 1
        return {"series": {"pump": pump}, "end": end, "past": {"flow": [self.number, self.number]}}

    def send(self, partition, pump, end, back_ms):
        appended_us = round((self.now - back_ms / 1000) * 1000) * 1000
        value = json.dumps(self.vector(pump, end)).encode()
        self.broker.append(PARTITIONS[partition], value, appended_us=appended_us)

    def refuse(self, partition, ahead_ms):
        self.broker.append(PARTITIONS[partition], b"{", appended_us=round((self.now + ahead_ms / 1000) * 1000) * 1000)

    def replace_owner(self):
        sink = Stalling(self.stores)
        decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)
        log = {"cluster_id": "c", "topic_id": "t", "writer": "w"}
        stream = Stream(
            source=MemorySource(self.broker, decode, max_batch=3),
            embed=embed,
            online=sink,
            offline=FileOfflineLog(self.folder / "log", VIEW, clock=lambda: self.now, **log),
            dead_letters=MemoryDeadLetters(),
            limits=Limits(checkpoint_seconds=1e9),
        )
        stream.assign(PARTITIONS)
        self.owners.append((stream, sink))

    def take(self, which):
        stream, _ = self.owners[-1 - which % len(self.owners)]
        stream.step()
        stream._settle()

    def checkpoint(self, which):
        stream, sink = self.owners[-1 - which % len(self.owners)]
        sink.wake()
        try:
            stream.checkpoint()
        except Replaced:
            self.owners.remove((stream, sink))
            stream.close()

    def stall(self, which):
        self.owners[-1 - which % len(self.owners)][1].is_stalled = True

    def wake(self, which):
        sinks = [*self.late, *(sink for _, sink in self.owners)]
        sinks[which % len(sinks)].wake()

    def backfill(self, rows, fate):
        """Run a new job: to its end, or to its death before the part, the online write done or standing still."""
        windows = [self.vector(pump, end) for pump, end in rows]
        history = self.folder / f"{len(list(self.folder.glob('*.parquet')))}.parquet"
        table = {"series": [window["series"] for window in windows], "end": [window["end"] for window in windows]}
        kind = pa.struct([("flow", pa.list_(pa.float64()))])
        pq.write_table(pa.table({**table, "past": pa.array([w["past"] for w in windows], kind)}), history)
        recipe = BackfillRecipe(
            history=history,
            contract=CONTRACT,
            view=VIEW,
            offline=OfflineSettings(path=self.folder / "log"),
            job=history.stem,
        )
        self.run(recipe, fate)

    def run(self, recipe, fate):
        sink = Stalling(self.stores)
        sink.is_stalled = fate == "stalls"
        chunks = cut(recipe.history, CONTRACT, space=VIEW.space, chunk_rows=2).chunks
        begun = begin_run(recipe, rows=sum(chunk.rows for chunk in chunks), now_s=self.now)
        embedder = ChunkEmbedder(begun, BackfillTools(embed=embed, online=sink))
        if fate != "ends":
            embedder._publish = _crash
            self.late.append(sink)
        try:
            for chunk in chunks:
                if not (begun.folder / f"{chunk.id}.parquet").exists():
                    embedder.embed(chunk)
        except Crash:
            self.unfinished.append(recipe)

    def run_again(self, fate):
        if self.unfinished:
            self.run(self.unfinished.pop(0), fate)

    def finish(self):
        """Let who is alive and no zombie do all that is left."""
        while self.unfinished:
            self.run_again("ends")
        self.replace_owner()
        stream, _ = self.owners[-1]
        while stream.step():
            pass
        stream.checkpoint()

    def online(self):
        """Return of each series (event time, number) as the stores hold it, all three the same."""
        found = {ids[0]: (row.event_us, row.features["embedding"].tolist()[0]) for ids, row in self.memory.rows.items()}
        pumps = list(found)
        if not pumps:
            return {}
        keys = entity_keys({"pump": np.array(pumps, object)})
        times = dict(zip(timestamps(np.array(ENDS)), ENDS, strict=True))
        fields = [timestamp_field(VIEW.view), redis_field(VIEW.view, "embedding")]
        hashes = [self.server.hmget(key + self.project.encode(), fields) for key in keys]
        held = [(times[time], _last(value)) for time, value in hashes]
        assert found == dict(zip(pumps, held, strict=True))
        with sqlite3.connect(self.folder / "online.db") as connection:
            rows = connection.execute(f'SELECT entity_key, event_us, value FROM "p_{VIEW.view}"').fetchall()  # noqa: S608
        assert found == {pumps[keys.index(key)]: (event_us, _last(value)) for key, event_us, value in rows}
        return found

    def close(self):
        for stream, sink in self.owners:
            sink.wake()
            stream.close()
        for store in self.stores:
            store.close()


def _crash(*_):
    raise Crash


def _last(value):
    return float(np.frombuffer(value[-4:], "<f4")[0])
