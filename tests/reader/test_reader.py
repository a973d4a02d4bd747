"""Vectors as a reader gets them, beside what stock Feast says of the same store."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import undertow
from tests.reader.conftest import FIRST, JUNE, JUNE_S, SIMPLE, ids, vectors_of

pytestmark = pytest.mark.redis

MINUTE = 60_000_000


def test_vectors_come_in_the_order_asked_for_as_arrays_with_their_times(world, open_reader):
    world.write(FIRST, ("s08", JUNE, 1), ("s09", JUNE - MINUTE, 2))
    found = open_reader(world.repo).get(ids("s09", "nobody", "s08", "s09"))
    assert (found.vectors.dtype, found.vectors.shape) == (np.float32, (4, 4))
    assert found.found.tolist() == [True, False, True, True]
    assert found.too_old.tolist() == [False] * 4
    assert np.array_equal(found["hidden"][[0, 2, 3]], vectors_of([2, 1, 2], 3))
    assert np.array_equal(found["gate"][[0, 2, 3]], vectors_of([2, 1, 2], 1))
    assert np.isnan(found.vectors[1]).all()
    assert found.event_time.dtype == "datetime64[us]"
    assert found.event_time[[0, 2]].astype(np.int64).tolist() == [JUNE - MINUTE, JUNE]
    assert found.age[[0, 2]].tolist() == [timedelta(minutes=1), timedelta(0)]
    assert np.isnat(found.event_time[1])
    assert np.isnat(found.age[1])
    assert (found.space, found.view, found.columns) == (
        FIRST.space,
        FIRST.view,
        {"hidden": slice(0, 3), "gate": slice(3, 4)},
    )


def test_features_come_in_the_order_asked_for(world, open_reader):
    world.write(FIRST, ("s08", JUNE, 1))
    reader = open_reader(world.repo)
    found = reader.get(ids("s08"), ["gate", "hidden"])
    assert found.columns == {"gate": slice(0, 1), "hidden": slice(1, 4)}
    assert np.array_equal(found.vectors[0], [1, *vectors_of([1], 3)[0]])
    assert reader.get(ids("s08"), ["gate"]).vectors.tolist() == [[1.0]]


def test_what_is_older_than_max_age_is_left_out_and_told_apart_from_what_is_missing(world, open_reader):
    world.write(FIRST, ("new", JUNE - MINUTE, 1), ("old", JUNE - MINUTE - 1, 2))
    found = open_reader(world.repo).get(ids("new", "old", "nobody"), max_age=timedelta(minutes=1))
    assert found.found.tolist() == [True, False, False]
    assert found.too_old.tolist() == [False, True, False]
    assert np.isnan(found.vectors[1:]).all()
    assert found.event_time[1].astype(np.int64) == JUNE - MINUTE - 1


def test_the_ttl_of_the_view_is_told_and_like_feast_not_applied(world, open_reader):
    world.write(FIRST, ("s08", JUNE - 2 * 3600 * 10**6, 1))
    reader = open_reader(world.repo, look_every=timedelta(0))
    assert reader.get(ids("s08")).ttl is None
    world.say({"har": world.text(ttl_s=3600)})
    found = reader.get(ids("s08"))
    assert found.ttl == timedelta(hours=1)
    assert found.found.all()
    assert world.stock(FIRST, ids("s08"))["hidden"][0] is not None
    assert reader.get(ids("s08"), max_age=found.ttl).too_old.all()


def test_nothing_is_asked_for_and_nothing_comes(world, open_reader):
    found = open_reader(world.repo).get([])
    assert found.vectors.shape == (0, 4)
    assert len(found) == len(found.age) == 0


def test_a_vector_that_holds_nan_is_found(world, open_reader):
    world.write(FIRST, ("s08", JUNE, float("nan")))
    found = open_reader(world.repo).get(ids("s08"))
    assert found.found.all()
    assert np.isnan(found.vectors).all()


def test_series_of_one_id_are_a_list_of_values_of_its_type(world, open_reader):
    world.write(SIMPLE, ("s08", JUNE, 1), ("ünï'\"code", JUNE, 2))
    found = open_reader(world.repo, name="ecg").get(["ünï'\"code", "s08"])
    assert np.array_equal(found.vectors, vectors_of([2, 1], 2))


def test_event_times_before_1970_and_whole_seconds_are_read(world, open_reader):
    times = {"a": -1, "b": -(10**6), "c": 0, "d": 10**6, "e": 253_370_764_800_000_000, "f": -2_208_988_800_000_000}
    world.write(FIRST, *((name, time, 1) for name, time in times.items()))
    found = open_reader(world.repo).get(ids(*times))
    assert found.event_time.astype(np.int64).tolist() == list(times.values())


def test_more_series_than_one_statement_takes_are_read(world, open_reader):
    world.write(FIRST, *((f"s{i}", JUNE, i) for i in range(1203)))
    found = open_reader(world.repo).get(ids(*(f"s{i}" for i in range(1202, -1, -1))))
    assert np.array_equal(found["gate"][:, 0], np.arange(1202, -1, -1))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.tuples(st.sampled_from(["a", "b", "c", "é", "nobody"]), st.sampled_from([7, -7])), max_size=9))
def test_any_order_of_any_series_is_answered_as_stock_feast_answers(world, asked):
    world.write(FIRST, *((name, JUNE + place, place) for place, name in enumerate(["a", "b", "c", "é"])))
    rows = [{"wearer": wearer, "session": session} for wearer, session in asked]
    with undertow.Reader(world.repo, name="har", now=lambda: JUNE_S) as reader:
        found = reader.get(rows)
    stock = world.stock(FIRST, rows) if rows else {"hidden": [], "gate": [], "hidden__ts": []}
    assert found.found.tolist() == [vector is not None for vector in stock["hidden"]]
    for name, size in FIRST.features:
        theirs = [vector for vector in stock[name] if vector is not None]
        assert np.array_equal(found[name][found.found], np.array(theirs, np.float32).reshape(-1, size))
    seconds = [seconds for seconds, vector in zip(stock["hidden__ts"], stock["hidden"], strict=True) if vector]
    assert (found.event_time[found.found].astype(np.int64) // 10**6).tolist() == seconds


def test_what_feast_itself_has_written_is_read_with_feasts_time(world, open_reader):
    from feast import FeatureStore  # noqa: PLC0415
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415
    from feast.protos.feast.types.Value_pb2 import FloatList, Value  # noqa: PLC0415

    from undertow.schemas.times import EPOCH  # noqa: PLC0415

    world.write(FIRST, ("s08", JUNE, 1))
    store = FeatureStore(str(world.repo))
    key = EntityKey(join_keys=["session", "wearer"], entity_values=[Value(int64_val=7), Value(string_val="s08")])
    values = {name: Value(float_list_val=FloatList(val=[9.0] * size)) for name, size in FIRST.features}
    time = EPOCH + timedelta(microseconds=JUNE + MINUTE)
    view = store.get_feature_view(FIRST.view)
    store.provider.online_write_batch(store.config, view, [(key, values, time, time)], None)
    found = open_reader(world.repo).get(ids("s08"))
    assert found.vectors.tolist() == [[9.0] * 4]
    assert found.event_time.astype(np.int64)[0] // 10**6 == (JUNE + MINUTE) // 10**6
