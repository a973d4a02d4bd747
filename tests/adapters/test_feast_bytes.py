"""Every byte equals what Feast's own functions write."""

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from undertow.adapters import feast_bytes

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def value(item):
    return Value(string_val=item) if isinstance(item, str) else Value(int64_val=item)


def column(items):
    return np.array(items, object if isinstance(items[0], str) else np.int64)


@st.composite
def id_columns(draw):
    rows = draw(st.integers(1, 6))
    names = draw(st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True))
    return {name: draw(st.lists(draw(st.sampled_from([TEXT, INT64])), min_size=rows, max_size=rows)) for name in names}


@given(id_columns())
def test_an_entity_key_is_what_feast_serializes(series):
    theirs = [
        serialize_entity_key(EntityKey(join_keys=list(series), entity_values=[value(i) for i in ids]), 3)
        for ids in zip(*series.values(), strict=True)
    ]
    assert feast_bytes.entity_keys({name: column(items) for name, items in series.items()}) == theirs


def test_a_redis_key_is_the_entity_key_followed_by_the_project():
    key = EntityKey(join_keys=["wearer"], entity_values=[Value(string_val="s08")])
    (ours,) = feast_bytes.entity_keys({"wearer": np.array(["s08"], object)})
    assert ours + b"undertow" == _redis_key("undertow", key)


@given(TEXT, TEXT)
def test_a_redis_field_is_what_feast_hashes(view, feature):
    assert feast_bytes.redis_field(view, feature) == _mmh3(f"{view}:{feature}")


def test_the_timestamp_field_is_named_as_feast_names_it():
    assert feast_bytes.timestamp_field("har__0a1b2c3d") == b"_ts:har__0a1b2c3d"


@given(npst.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 70)), elements=st.floats(width=32)))
def test_a_vector_is_what_protobuf_serializes(vectors):
    theirs = [Value(float_list_val=FloatList(val=row)) for row in vectors.tolist()]
    ours = [Value.FromString(raw) for raw in feast_bytes.float_lists(vectors)]
    assert [v.SerializeToString() for v in ours] == [v.SerializeToString() for v in theirs]
    if not np.isnan(vectors).any():  # protobuf may pick other bits for a NaN, which a batch never holds
        assert feast_bytes.float_lists(vectors) == [v.SerializeToString() for v in theirs]


@pytest.mark.parametrize("d", [31, 32, 4095, 4096])
def test_a_vector_of_any_size_has_the_right_lengths_inside(d):
    vectors = np.arange(2 * d, dtype=np.float32).reshape(2, d)
    assert feast_bytes.float_lists(vectors)[1] == Value(float_list_val=FloatList(val=vectors[1])).SerializeToString()


def test_a_slice_of_a_wider_array_is_serialized_row_by_row():
    wide = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert feast_bytes.float_lists(wide[:, 1:4]) == feast_bytes.float_lists(wide[:, 1:4].copy())


YEAR_1900, YEAR_9998 = -2_208_988_800_000_000, 253_370_764_800_000_000


@given(st.lists(st.integers(YEAR_1900, YEAR_9998) | st.integers(-3, 3) | st.integers(-5, 5).map(lambda s: s * 10**6)))
def test_a_timestamp_is_what_protobuf_serializes(event_us):
    def theirs(us):
        stamp = Timestamp()
        stamp.FromMicroseconds(us)
        return stamp.SerializeToString()

    assert feast_bytes.timestamps(np.array(event_us, np.int64)) == [theirs(us) for us in event_us]


@given(npst.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 70)), elements=st.floats(width=32)))
def test_vectors_are_read_back_bit_by_bit(vectors):
    read = feast_bytes.read_float_lists(feast_bytes.float_lists(vectors), vectors.shape[1])
    assert read.tobytes() == vectors.tobytes()
    assert feast_bytes.read_float_lists([b"\x00", *feast_bytes.float_lists(vectors)], vectors.shape[1]) is None


def test_what_is_as_long_as_a_vector_and_none_is_not_read_as_one():
    (value,) = feast_bytes.float_lists(np.ones((1, 3), np.float32))
    assert feast_bytes.read_float_lists([value, b"\x00" + value[1:]], 3) is None


@given(st.lists(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999), max_size=9))
def test_times_are_read_back_to_the_microsecond(times):
    event_us = np.array(times, np.int64)
    assert feast_bytes.read_timestamps(feast_bytes.timestamps(event_us)).tolist() == times
