"""Online stores that the contract of `OnlineSink` is shown on, and what is written to them."""

from datetime import UTC, datetime, timedelta

import numpy as np
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from feast.types import Array, Float32, Int64, String

from undertow.adapters.memory_stores import MemoryOnline
from undertow.adapters.online_feast import FeastOnline
from undertow.adapters.online_postgres import PostgresOnline
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.schemas.embeddings import EmbeddingBatch

STRICT = ["memory", "redis", "sqlite", "postgres"]
"""Stores that keep when a row was delivered."""
VIEW, SPACE = "har__0a1b2c3d", "0a1b2c3d" * 8
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTITIES = [
    Entity(name="wearer", join_keys=["wearer"], value_type=ValueType.STRING),
    Entity(name="session", join_keys=["session"], value_type=ValueType.INT64),
]
DEFINITION = FeatureView(
    name=VIEW,
    entities=ENTITIES,
    schema=[
        Field(name="wearer", dtype=String),
        Field(name="session", dtype=Int64),
        Field(name="hidden", dtype=Array(Float32)),
        Field(name="gate", dtype=Array(Float32)),
    ],
    source=FileSource(name="none", path="none", timestamp_field="event_timestamp"),
)
JUNE = 1_717_200_000_123_456
MINUTE = 60_000_000


class FeastReads:
    """One online store under a project of its own, with sinks of ours and Feast's own reader."""

    def __init__(self, kind, project, online_store, folder):
        self.kind, self.options, self.project, self.folder = kind, online_store, project, folder
        self.settings = {
            "project": project,
            "provider": "local",
            "registry": str(folder / "registry.db"),
            "online_store": online_store,
            "offline_store": {"type": "duckdb"},
            "entity_key_serialization_version": 3,
        }
        self.config = RepoConfig(**self.settings)
        self.provider = get_provider(self.config)
        self.provider.online_store.update(self.config, [], [DEFINITION], [], [], partial=False)

    def sink(self):
        if self.kind == "redis":
            return RedisOnline(options=self.options, project=self.project, view=VIEW)
        if self.kind == "sqlite":
            return SqliteOnline(path=self.folder / "online.db", project=self.project, view=VIEW)
        if self.kind == "postgres":
            return PostgresOnline(options=self.options, project=self.project, view=VIEW, searched=["hidden"])
        definition = DEFINITION.to_proto().SerializeToString()
        return FeastOnline(repo_config=self.settings, repo=self.folder, definition=definition)

    def write_by_feast(self, wearer, event_us, number):
        """Write a row as `feast materialize` and `push` do."""
        key = EntityKey(join_keys=["wearer", "session"], entity_values=[Value(string_val=wearer), Value(int64_val=7)])
        vectors = {"hidden": [number, 0.1, -1e30], "gate": [number]}
        values = {name: Value(float_list_val=FloatList(val=vector)) for name, vector in vectors.items()}
        created = EPOCH + timedelta(microseconds=JUNE + 10**9)
        row = (key, values, EPOCH + timedelta(microseconds=event_us), created)
        self.provider.online_write_batch(self.config, DEFINITION, [row], None)

    def read(self, wearer, session=7, feature="hidden"):
        """Return event time in microseconds and the vector, (None, None) where there is none."""
        key = EntityKey(
            join_keys=["wearer", "session"], entity_values=[Value(string_val=wearer), Value(int64_val=session)]
        )
        # All by name: without names Feast's Postgres store sends a parameter that its statement does not have.
        ((time, values),) = self.provider.online_read(self.config, DEFINITION, [key], ["hidden", "gate"])
        if not values or not values[feature].WhichOneof("val"):  # Redis: a value without content, of 1970
            return None, None
        return (time - EPOCH) // timedelta(microseconds=1), list(values[feature].float_list_val.val)


class MemoryReads:
    """The fake that others test with keeps the same promises."""

    kind = "memory"

    def __init__(self):
        self.rows = {}

    def sink(self):
        return MemoryOnline(self.rows)

    def read(self, wearer, session=7, feature="hidden"):
        row = self.rows.get((wearer, session))
        return (None, None) if row is None else (row.event_us, row.features[feature].tolist())


def batch(*rows):
    """Rows are (wearer, event time, number that the vector is made of), and when they were delivered, or at once."""
    wearers, times, numbers, created = zip(*((*row, 0)[:4] for row in rows), strict=True) if rows else ((), (), (), ())
    return EmbeddingBatch(
        space=SPACE,
        series={"wearer": np.array(wearers, object), "session": np.full(len(rows), 7, np.int64)},
        event_us=np.array(times, np.int64),
        created_us=JUNE + np.array(created, np.int64),
        features={
            "hidden": (np.array(numbers, np.float32)[:, None] + np.array([0, 0.1, -1e30], np.float32)).astype(
                np.float32
            ),
            "gate": np.array(numbers, np.float32)[:, None],
        },
    )


def number(store, wearer):
    """Return the number that the stored vectors were made of; both features must agree."""
    _, hidden = store.read(wearer)
    _, gate = store.read(wearer, feature="gate")
    if hidden is None:
        return None
    assert hidden[0] == gate[0]
    return hidden[0]
