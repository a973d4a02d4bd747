"""What orders observations of one time is exact, and the same in streams as in tables."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made
from tests.observations.test_record_formats import NOW_US, opened, records_of
from undertow.observations.record_arrow import encode_rows
from undertow.observations.spec import WindowSpec


@pytest.mark.parametrize(
    ("made_ns", "kept"), [([5_000, 5_001], 9.0), ([5_999, 6_000], 1.0), ([None, None], 9.0)], ids=str
)
def test_times_of_creation_are_compared_in_microseconds_in_streams_as_in_tables(made_ns, kept):
    contract, spec = contract_of("flow"), WindowSpec(every="1s", created="made", lateness="1s")
    kind = pa.null() if made_ns == [None, None] else pa.timestamp("ns")
    table = pa.table(
        {
            "site": ["a", "a", "a"],
            TIME: pa.array([NOW_US, NOW_US, NOW_US + 1_000_000], pa.timestamp("us", tz="UTC")),
            "made": pa.array([*made_ns, None], kind),
            "flow": [9.0, 1.0, 5.0],
        }
    )
    decoded = opened("arrow", spec, contract).decode(records_of(encode_rows(table)))
    assert [reject.detail for reject in decoded.rejects] == []
    assert decoded.windows.past["flow"].tolist() == [kept]
    windows = made(table, contract, spec)
    assert windows.take(np.arange(1)).past["flow"].tolist() == [kept]


LARGE = st.integers(2**53 - 4, 2**53 + 4) | st.integers(2**63 - 4, 2**63 - 1) | st.integers(-(2**63), -(2**63) + 4)
WHOLE, REAL = st.none() | LARGE, st.none() | LARGE.map(float) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(WHOLE, st.integers(0, 9)), min_size=1), st.booleans())
def test_whole_numbers_that_float64_does_not_tell_apart_are_in_order_in_streams_as_in_tables(seen, in_arrow):
    contract, spec = contract_of("flow"), WindowSpec(every="1s", created="made", lateness="1s")
    rows = [{"site": "a", TIME: NOW_US, "made": made_at, "flow": float(flow)} for made_at, flow in seen]
    rows.append({"site": "a", TIME: NOW_US + 1_000_000, "made": None, "flow": 0.0})
    types = {"site": pa.string(), TIME: pa.timestamp("us", tz="UTC"), "made": pa.int64(), "flow": pa.float64()}
    tables = [pa.table({name: pa.array([one[name]], kind) for name, kind in types.items()}) for one in rows]
    values = map(encode_rows, tables) if in_arrow else (json.dumps(one).encode() for one in rows)
    decoder = opened("arrow" if in_arrow else "json", spec, contract)
    (kept,) = [one for record in records_of(*values) for one in decoder.decode([record]).windows.past["flow"].tolist()]
    assert kept == max(seen, key=lambda one: (-(2**70) if one[0] is None else one[0], one[1]))[1]
    assert kept == made(pa.concat_tables(tables), contract, spec).take(np.arange(1)).past["flow"].tolist()[0]


@given(st.lists(st.tuples(WHOLE | REAL, st.integers(0, 9)), min_size=1))
def test_whole_numbers_and_others_are_in_one_order(seen):
    contract, spec = contract_of("flow"), WindowSpec(every="1s", created="made", lateness="1s")
    rows = [{"site": "a", TIME: NOW_US, "made": made_at, "flow": float(flow)} for made_at, flow in seen]
    rows.append({"site": "a", TIME: NOW_US + 1_000_000, "flow": 0.0})
    decoder = opened(spec=spec, contract=contract)
    found = [
        decoder.decode([one]).windows.past["flow"].tolist()
        for one in records_of(*map(str.encode, map(json.dumps, rows)))
    ]
    least = -1e400  # Python compares whole numbers and others exactly
    assert found[-1] == [max(seen, key=lambda one: (least if one[0] is None else one[0], one[1]))[1]]


def test_a_column_that_looks_like_what_is_held_of_such_times_is_refused_as_any_other_type():
    contract, spec = contract_of("flow"), WindowSpec(every="1s", created="made")
    made_at = pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2))
    times = pa.array([NOW_US, NOW_US + 1_000_000], pa.int64())
    table = pa.table({"site": ["a", "a"], TIME: times, "made": made_at, "flow": [1.0, 2.0]})
    (reject,) = opened("arrow", spec, contract).decode(records_of(encode_rows(table))).rejects
    assert reject.detail == "windows.created: expected a column of times or numbers, found " + str(made_at.type)
