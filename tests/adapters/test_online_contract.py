"""What every online sink promises, whichever store is behind it. What they wrote is read by Feast's own stores."""

import itertools
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from feast.types import Array, Float32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.embeddings import EmbeddingBatch
from workers.adapters.memory_stores import MemoryOnline
from workers.adapters.online_feast import FeastOnline
from workers.adapters.online_redis import RedisOnline
from workers.adapters.online_sqlite import SqliteOnline

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
EXAMPLES = itertools.count()


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
        definition = DEFINITION.to_proto().SerializeToString()
        return FeastOnline(config=self.settings, repo=self.folder, definition=definition)

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
        ((time, values),) = self.provider.online_read(self.config, DEFINITION, [key])
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


@pytest.fixture(params=["memory", "redis", "sqlite", "feast"])
def store(request, tmp_path, feast_project):
    if request.param == "memory":
        return MemoryReads()
    if request.param == "sqlite":
        return FeastReads("sqlite", feast_project, {"type": "sqlite", "path": str(tmp_path / "online.db")}, tmp_path)
    address = request.getfixturevalue("redis_address")
    # Feast's Redis store guards by itself, like no other store, unless it is told not to.
    options = {"type": "redis", "connection_string": address, "skip_dedup": request.param == "feast"}
    return FeastReads(request.param, feast_project, options, tmp_path)


def batch(*rows):
    """Rows are (wearer, event time, number that the vector is made of)."""
    wearers, times, numbers = zip(*rows, strict=True) if rows else ((), (), ())
    return EmbeddingBatch(
        space=SPACE,
        series={"wearer": np.array(wearers, object), "session": np.full(len(rows), 7, np.int64)},
        event_us=np.array(times, np.int64),
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


def test_what_was_written_is_read_by_feast_as_the_same_floats_at_the_same_time(store):
    assert store.sink().write(batch(("s08", JUNE, 0.1))) == 1
    time, vector = store.read("s08")
    assert vector == batch(("s08", JUNE, 0.1)).features["hidden"][0].tolist()
    assert time == (JUNE // 10**6 * 10**6 if store.kind == "sqlite" else JUNE)


def test_a_series_that_was_never_written_is_missing(store):
    store.sink().write(batch(("s08", JUNE, 1)))
    assert store.read("s09") == (None, None)
    assert store.read("s08", session=8) == (None, None)


def test_writing_the_same_batch_again_writes_nothing(store):
    rows = batch(("s08", JUNE, 1), ("s09", JUNE, 2))
    assert store.sink().write(rows) == 2
    assert store.sink().write(rows) == 0


def test_an_empty_batch_writes_nothing(store):
    assert store.sink().write(batch()) == 0


def test_an_older_embedding_never_replaces_a_newer_one(store):
    sink = store.sink()
    assert [sink.write(batch(("s08", JUNE, 1))), sink.write(batch(("s08", JUNE - 1, 2)))] == [1, 0]
    assert number(store, "s08") == 1


def test_a_microsecond_makes_an_embedding_newer(store):
    sink = store.sink()
    assert [sink.write(batch(("s08", JUNE, 1))), sink.write(batch(("s08", JUNE + 1, 2)))] == [1, 1]
    assert number(store, "s08") == 2


def test_of_equal_times_the_first_stays(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    assert sink.write(batch(("s08", JUNE, 2))) == 0
    assert number(store, "s08") == 1


def test_force_rewrites_an_equal_time(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    assert sink.write(batch(("s08", JUNE, 2)), force=True) == 1
    assert number(store, "s08") == 2


def test_force_does_not_go_back_in_time(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    assert sink.write(batch(("s08", JUNE - 1, 2)), force=True) == 0
    assert number(store, "s08") == 1


def test_of_one_batch_the_newest_of_each_series_is_written_once(store):
    rows = batch(("s08", JUNE, 1), ("s08", JUNE + 9, 2), ("s09", JUNE, 3), ("s08", JUNE + 5, 4), ("s08", JUNE + 9, 5))
    assert store.sink().write(rows) == 2
    assert (number(store, "s08"), number(store, "s09")) == (2, 3)


def test_a_batch_of_many_chunks_is_written_whole(store):
    rows = [(f"s{i}", JUNE, i) for i in range(200)]
    assert store.sink().write(batch(*rows)) == 200
    assert [number(store, f"s{i}") for i in (0, 63, 64, 127, 128, 199)] == [0, 63, 64, 127, 128, 199]


def test_a_closed_sink_may_be_closed_again(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    sink.close()
    sink.close()


@pytest.mark.parametrize("store", ["redis", "sqlite", "feast"], indirect=True)
def test_a_store_that_answers_passes_the_check(store):
    store.sink().check()


@pytest.mark.parametrize("store", ["redis", "sqlite", "feast"], indirect=True)
def test_after_feast_itself_has_written_an_older_row_over_ours_what_is_newer_than_that_row_is_taken(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE - MINUTE, 2)  # only Redis's own guard keeps it out
    sink.write(batch(("s08", JUNE - 2 * MINUTE, 3)))
    assert number(store, "s08") in {1, 2}
    for event_us, n in ((JUNE - 30_000_000, 4), (JUNE - 6_000_000, 5), (JUNE, 6)):
        sink.write(batch(("s08", event_us, n)))
    assert store.read("s08")[0] // 10**6 == JUNE // 10**6
    assert number(store, "s08") in {1, 6}
    assert [sink.write(batch(("s08", JUNE - 1, 7))), sink.write(batch(("s08", JUNE + 1, 8)))] == [0, 1]


@pytest.mark.parametrize("store", ["redis", "sqlite", "feast"], indirect=True)
def test_a_newer_row_that_feast_itself_has_written_is_not_replaced_by_an_older_one(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE + MINUTE, 2)
    store.write_by_feast("s09", JUNE + MINUTE, 2)
    older = batch(*((name, JUNE + MINUTE - 2_000_000, 3) for name in ("s08", "s09")))
    assert (sink.write(older), number(store, "s08"), number(store, "s09")) == (0, 2, 2)
    newer = batch(*((name, JUNE + 2 * MINUTE, 4) for name in ("s08", "s09")))
    assert (sink.write(newer), number(store, "s08"), number(store, "s09")) == (2, 4, 4)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_row_of_the_same_second_that_feast_itself_has_written_voids_the_guard(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE - 1, 2)
    assert (sink.write(batch(("s08", JUNE, 1))), number(store, "s08")) == (1, 1)


YEAR_1900, YEAR_9998 = -2_208_988_800_000_000, 253_370_764_800_000_000
TIMES = st.one_of(
    st.integers(YEAR_1900, YEAR_9998), st.integers(JUNE - 2, JUNE + 2), st.integers(-2, 2), st.just(-1_000_000)
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_newest_wins_whatever_the_order_and_the_calls(store, data):
    tag = next(EXAMPLES)  # examples share the store, not the series
    drawn = data.draw(st.lists(st.tuples(st.sampled_from("abc"), TIMES), min_size=1, max_size=12))
    rows = [(f"{tag}/{name}", time, i) for i, (name, time) in enumerate(drawn)]
    expected = {}
    sinks = [store.sink(), store.sink()]
    while rows:
        size = data.draw(st.integers(1, len(rows)))
        sinks[data.draw(st.booleans())].write(batch(*rows[:size]))
        for name, time, i in rows[:size]:
            if name not in expected or time > expected[name][0]:
                expected[name] = time, i
        rows = rows[size:]
    assert {name: number(store, name) for name in expected} == {name: i for name, (_, i) in expected.items()}


@pytest.mark.parametrize("store", ["redis", "sqlite"], indirect=True)
def test_the_newest_wins_between_writers_at_the_same_instant(store):
    series = [f"s{i}" for i in range(150)]
    start = threading.Barrier(3)

    def hammer(writer):
        sink = store.sink()
        start.wait()
        for step in range(8):
            sink.write(batch(*((name, JUNE + (step * 7 + writer * 3) % 11 * 13 + writer, writer) for name in series)))
        sink.close()

    threads = [threading.Thread(target=hammer, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = max((JUNE + (step * 7 + w * 3) % 11 * 13 + w, w) for step in range(8) for w in range(3))
    assert {number(store, name) for name in series} == {newest[1]}
