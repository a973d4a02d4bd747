"""Arrow windows: what JSON refuses Arrow refuses, for the same reason, and nothing else."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.arrow_faults import schema_fault
from schemas.contract import Column, IdColumn, InputContract
from schemas.json_codec import decode_json
from schemas.records import Partition, Record
from schemas.windows import WindowBatch
from schemas.windows_arrow import window_schema, windows_from_arrow, windows_to_arrow

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
        ({"past__place": ["home", None, "home"]}, "category", "past.place[1]"),
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
    for part in ("series", "past", "future", "static"):
        if draw(rarely) and draw(rarely):
            whole[part] = None
    return whole


@settings(max_examples=150, deadline=None)
@given(st.lists(rows(), max_size=6), st.integers(0, 3))
def test_arrow_and_json_agree_on_every_window(documents, skip):
    # Slices and chunks shift Arrow's buffers: none of it may show.
    table = pa.concat_tables([table_of([row()] * skip + documents[:3]).slice(skip), table_of(documents[3:])])
    read = windows_from_arrow(table, CONTRACT)
    records = [
        Record(partition=Partition("t", 0), offset=n, appended_us=0, value=json.dumps(each).encode())
        for n, each in enumerate(documents)
    ]
    expected = decode_json(records, CONTRACT, max_record_bytes=1 << 20)
    assert read.rows.tolist() == expected.record_of.tolist()
    assert reasons(read) == {reject.record.offset: reject.reason for reject in expected.rejects}
    assert_same(read.windows, expected.windows)


@pytest.mark.parametrize(
    "element", [pa.float32(), pa.float64(), pa.int16(), pa.uint64()], ids=["float32", "float64", "int16", "uint64"]
)
@pytest.mark.parametrize("lists", [pa.list_, pa.large_list], ids=["list", "large_list"])
def test_numbers_may_come_in_any_width(element, lists):
    past = pa.array([{"x": [1, 2, 3]}, {"x": [4]}], pa.struct([("x", lists(element))]))
    table = pa.table({"series": [{"sensor": "a"}] * 2, "end": pa.array([1, 2], pa.int64()), "past": past})
    read = windows_from_arrow(table, REALS)
    assert read.windows.past["x"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert read.windows.past["x"].dtype == np.float64
    assert read.windows.end_us.tolist() == [1, 2]


def test_lists_of_a_fixed_size_are_lists():
    past = pa.array([{"x": [1, 2]}, {"x": None}, {"x": [5, 6]}], pa.struct([("x", pa.list_(pa.float32(), 2))]))
    table = pa.table({"series": [{"sensor": "a"}] * 3, "end": pa.array([1, 2, 3], pa.int64()), "past": past}).slice(1)
    read = windows_from_arrow(table, REALS)
    assert reasons(read) == {0: "columns"}
    assert read.windows.past["x"].tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    "text",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=["large_string", "string_view", "dictionary"],
)
def test_strings_may_come_in_any_encoding(text):
    chunks = [pa.array([{"sensor": name} for name in names], pa.struct([("sensor", text)])) for names in ("ab", "cb")]
    table = pa.table(
        {
            "series": pa.chunked_array(chunks),
            "end": pa.array(range(4), pa.int64()),
            "past": [{"x": [float(n)]} for n in range(4)],
        }
    )
    read = windows_from_arrow(table, REALS)
    assert read.windows.series["sensor"].tolist() == ["a", "b", "c", "b"]
    assert read.windows.past["x"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_integers_name_categories_as_they_do_in_json():
    contract = InputContract(
        series=(IdColumn(name="sensor", type="integer"),),
        past=(Column(name="mode", categories=("1", "2")),),
        min_length=1,
        max_length=8,
    )
    modes = pa.array([{"mode": [1, 2]}, {"mode": [3]}], pa.struct([("mode", pa.list_(pa.int8()))]))
    table = pa.table({"series": [{"sensor": 4}] * 2, "end": pa.array([1, 2], pa.int64()), "past": modes})
    read = windows_from_arrow(table, contract)
    assert read.windows.past["mode"].tolist() == ["1", "2"]
    assert reasons(read) == {1: "category"}


@pytest.mark.parametrize(("unit", "ticks_per_s"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_ends_of_every_unit_and_zone_become_microseconds(unit, ticks_per_s):
    ends = pa.array([2 * ticks_per_s, None, -(2**63)], pa.int64()).cast(pa.timestamp(unit, tz="Europe/Berlin"))
    table = pa.table({"series": [{"sensor": "a"}] * 3, "end": ends, "past": [{"x": [1.0]}] * 3})
    read = windows_from_arrow(table, REALS)
    assert read.windows.end_us.tolist() == [2_000_000]
    assert reasons(read) == {1: "end", 2: "end"}


def test_an_end_between_microseconds_is_refused_rather_than_cut():
    ends = pa.array([1_000, 1_001], pa.timestamp("ns", tz="UTC"))
    table = pa.table({"series": [{"sensor": "a"}] * 2, "end": ends, "past": [{"x": [1.0]}] * 2})
    read = windows_from_arrow(table, REALS)
    assert read.windows.end_us.tolist() == [1]
    assert reasons(read) == {1: "end"}
    assert "000001001Z" in read.bad[0].detail


def test_good_windows_share_the_memory_of_the_table():
    table = pa.table(
        {
            "series": [{"sensor": "a"}] * 2,
            "end": pa.array([1, 2], pa.int64()),
            "past": [{"x": [1.0, 2.0]}, {"x": [3.0]}],
        }
    )
    values = windows_from_arrow(table, REALS).windows.past["x"]
    held = table.column("past").chunk(0).field("x").values
    assert values.ctypes.data == held.buffers()[1].address


def test_columns_that_the_contract_does_not_name_are_counted_and_may_be_anything():
    past = pa.array(
        [{"x": [1.0], "odd": True, "odder": None}] * 2,
        pa.struct([("x", pa.list_(pa.float64())), ("odd", pa.bool_()), ("odder", pa.timestamp("ns"))]),
    )
    table = pa.table(
        {"series": [{"sensor": "a"}] * 2, "end": pa.array([1, 2], pa.int64()), "past": past, "static": [1, 2]}
    )
    read = windows_from_arrow(table, REALS)
    assert len(read.windows) == 2
    assert read.ignored_columns == 4


@pytest.mark.parametrize(
    ("columns", "reason", "detail"),
    [
        ({"series": [1]}, "series", "series.sensor: expected strings, found nothing"),
        ({"series": [{"sensor": 5}]}, "series", "series.sensor: expected strings, found int64"),
        ({"end": pa.array([1], pa.timestamp("us"))}, "end", "found timestamp[us]"),
        ({"end": ["2026-01-01"]}, "end", "found string"),
        ({"past": [{"y": [1.0]}]}, "columns", "past.x: expected lists of numbers, found nothing"),
        ({"past": [{"x": 1.0}]}, "columns", "past.x: expected lists of numbers, found double"),
        ({"past": [{"x": [True]}]}, "columns", "found list<item: bool>"),
    ],
)
def test_a_table_of_wrong_types_is_refused_as_a_whole_and_says_which_field(columns, reason, detail):
    good = {"series": [{"sensor": "a"}], "end": pa.array([1], pa.int64()), "past": [{"x": [1.0]}]}
    table = pa.table({**good, **columns})
    assert schema_fault(pa.table(good).schema, REALS) is None
    found = schema_fault(table.schema, REALS)
    assert found[0] == reason
    assert detail in found[1]
    read = windows_from_arrow(table, REALS)
    assert len(read.windows) == 0
    assert [(bad.row, bad.reason, bad.detail) for bad in read.bad] == [(0, *found)]


def test_an_empty_table_gives_an_empty_batch():
    read = windows_from_arrow(window_schema(CONTRACT).empty_table(), CONTRACT)
    assert len(read.windows) == 0
    assert read.windows.future["holiday"].shape == (0, 2)
    assert read.bad == ()
