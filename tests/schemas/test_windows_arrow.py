"""Arrow windows: what JSON refuses Arrow refuses, for the same reason, and nothing else."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import window_schema, windows_from_arrow, windows_to_arrow

CONTRACT = InputContract(
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="channel", type="integer")),
    past=(
        Column(name="ax"),
        Column(name="mode", categories=("walk", "run"), accepts_unknown=False),
        Column(name="place", categories=("home",), accepts_unknown=True),
    ),
    future=(Column(name="holiday"),),
    static=(Column(name="age"), Column(name="device", categories=("w1", "7"))),
    min_length=1,
    max_length=4,
    horizon=2,
)
REALS = InputContract(
    series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(**changes):
    whole = {
        "series": {"wearer": "s08", "channel": 3},
        "end": 1_767_225_602_560_000,
        "past": {"ax": [0.1, -2.5, 3.0], "mode": ["walk", "run", "walk"], "place": ["home", "moon", "home"]},
        "future": {"holiday": [0.0, 1.0]},
        "static": {"age": 41.5, "device": "w1"},
    }
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if name:
            whole[part] = {**whole[part], name: value}
        else:
            whole[part] = value
    return whole


def table_of(rows):
    stamped = []
    for each in rows:
        end = each["end"]
        stamped.append({**each, "end": None if end is None else EPOCH + timedelta(microseconds=end)})
    return pa.Table.from_pylist(stamped, schema=window_schema(CONTRACT))


def reasons(read):
    return {bad.row: bad.reason for bad in read.bad}


def assert_same(left: WindowBatch, right: WindowBatch) -> None:
    np.testing.assert_array_equal(left.end_us, right.end_us)
    np.testing.assert_array_equal(left.lengths, right.lengths)
    for part in ("series", "past", "future", "static"):
        ours, theirs = getattr(left, part), getattr(right, part)
        assert list(ours) == list(theirs)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_windows_survive_the_way_to_arrow_and_back():
    read = windows_from_arrow(table_of([row(), row(past__ax=[1.0], past__mode=["run"], past__place=["x"])]), CONTRACT)
    again = windows_from_arrow(windows_to_arrow(read.windows, CONTRACT), CONTRACT)
    assert again.bad == ()
    assert again.rows.tolist() == [0, 1]
    assert again.windows.lengths.tolist() == [3, 1]
    assert_same(again.windows, read.windows)


@pytest.mark.parametrize(
    ("change", "reason", "found"),
    [
        ({"series__wearer": None}, "series", "series.wearer"),
        ({"series__wearer": ""}, "series", "series.wearer"),
        ({"series__wearer": "ä" * 600}, "series", "series.wearer"),
        ({"series": None}, "series", "wearer, channel"),
        ({"series__channel": None}, "series", "series.channel"),
        ({"end": None}, "end", "end"),
        ({"end": -2_208_988_800_000_001}, "end", "1899-12-31T23:59:59.999999Z"),
        ({"past": None}, "columns", "past"),
        ({"past__ax": None}, "columns", "past.ax"),
        ({"past__ax": [1.0, 2.0]}, "length", "past.mode"),
        ({"past": {"ax": [], "mode": [], "place": []}}, "length", "1 to 4 steps"),
        ({"past": {"ax": [0.0] * 5, "mode": ["run"] * 5, "place": ["x"] * 5}}, "length", "1 to 4 steps"),
        ({"past__ax": [1.0, None, 2.0]}, "number", "past.ax[1]"),
        ({"past__ax": [1.0, math.nan, 2.0]}, "number", "past.ax[1]"),
        ({"past__ax": [1.0, 2.0, -math.inf]}, "number", "past.ax[2]"),
        ({"past__ax": [3.5e38, 2.0, 1.0]}, "number", "past.ax[0]"),
        ({"past__mode": ["walk", "swim", "run"]}, "category", "swim"),
        ({"past__mode": ["walk", None, "run"]}, "category", "past.mode[1]"),
        ({"past__mode": [None] * 3, "past__place": [None] * 3}, "category", "past.mode[0]"),
        ({"future": None}, "columns", "future"),
        ({"future__holiday": [0.0]}, "length", "exactly 2"),
        ({"future__holiday": [0.0, math.nan]}, "number", "future.holiday[1]"),
        ({"static__age": None}, "number", "static.age"),
        ({"static__device": "w2"}, "category", "w2"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_its_neighbours_are_kept(change, reason, found):
    read = windows_from_arrow(table_of([row(), row(**change), row(past__ax=[7.0, 8.0, 9.0])]), CONTRACT)
    assert reasons(read) == {1: reason}
    assert found in read.bad[0].detail
    assert read.rows.tolist() == [0, 2]
    assert read.windows.past["ax"].tolist() == [0.1, -2.5, 3.0, 7.0, 8.0, 9.0]
    assert read.windows.future["holiday"].shape == (2, 2)


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [math.nan, math.inf, 3.5e38, None]
)
lists = st.lists(numbers, max_size=5)
rarely = st.sampled_from([False] * 9 + [True])


@st.composite
def rows(draw):
    length = draw(st.integers(1, 4))

    def some(elements, size):
        wrong = draw(rarely)
        return (
            draw(st.none() | st.lists(elements, max_size=5))
            if wrong
            else draw(st.lists(elements, min_size=size, max_size=size))
        )

    good = st.floats(-1e6, 1e6)
    number = numbers if draw(rarely) else good
    mode = st.sampled_from(["walk", "run", "swim", None] if draw(rarely) else ["walk", "run"])
    gap = draw(st.integers(0, 3)) if draw(st.booleans()) else None
    place = st.sampled_from(["home", "moon", None] if draw(rarely) else ["home", "moon", ""])
    whole = {
        "series": {
            "wearer": draw(
                st.sampled_from(["", None, "s" * 1025]) if draw(rarely) else st.text(min_size=1, max_size=5)
            ),
            "channel": None if draw(rarely) else draw(st.integers(-(2**63), 2**63 - 1)),
        },
        "end": draw(
            st.sampled_from([None, -2_208_988_800_000_001, 253_370_764_800_000_000])
            if draw(rarely)
            else st.integers(-2_208_988_800_000_000, 253_370_764_799_999_999)
        ),
        "past": {"ax": some(number, length), "mode": some(mode, length), "place": some(place, length)},
        "future": {"holiday": some(number, 2)},
        "static": {
            "age": draw(number),
            "device": draw(st.sampled_from(["w1", "7", "w9"] if draw(rarely) else ["w1", "7"])),
        },
    }
    for values in whole["past"].values():
        if gap is not None and values is not None and gap < len(values) and not draw(rarely):
            values[gap] = None
    for part in ("series", "past", "future", "static"):
        if draw(rarely) and draw(rarely):
            whole[part] = None
    return whole


@settings(max_examples=150, deadline=None)
@given(st.lists(rows(), max_size=6), st.integers(0, 3), st.booleans())
def test_arrow_and_json_agree_on_every_window(documents, skip, allows_gaps):
    contract = replace(CONTRACT, allows_gaps=allows_gaps)
    # Slices and chunks shift Arrow's buffers: none of it may show.
    table = pa.concat_tables([table_of([row()] * skip + documents[:3]).slice(skip), table_of(documents[3:])])
    read = windows_from_arrow(table, contract)
    records = [
        Record(partition=Partition("t", 0), offset=n, appended_us=0, value=json.dumps(each).encode())
        for n, each in enumerate(documents)
    ]
    expected = decode_json(records, contract, max_record_bytes=1 << 20)
    assert read.rows.tolist() == expected.record_of.tolist()
    assert reasons(read) == {reject.record.offset: reject.reason for reject in expected.rejects}
    assert_same(read.windows, expected.windows)
    again = windows_from_arrow(windows_to_arrow(read.windows, contract), contract)
    assert again.bad == ()
    assert_same(again.windows, read.windows)


def test_an_empty_table_gives_an_empty_batch():
    read = windows_from_arrow(window_schema(CONTRACT).empty_table(), CONTRACT)
    assert len(read.windows) == 0
    assert read.windows.future["holiday"].shape == (0, 2)
    assert read.bad == ()
