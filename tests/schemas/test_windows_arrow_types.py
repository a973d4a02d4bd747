"""Arrow windows of every type that a column may have: read as they are, or refused by name."""

import numpy as np
import pyarrow as pa
import pytest

from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.windows_arrow import windows_from_arrow

REALS = InputContract(
    series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)


def reasons(read):
    return {bad.row: bad.reason for bad in read.bad}


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
        *(
            (
                {"end": pa.array([1], pa.timestamp(unit))},
                "schema",
                f"found timestamp[{unit}], a time without a zone",
            )
            for unit in ("s", "ms", "us", "ns")
        ),
        ({"end": pa.array([1], pa.date32())}, "schema", "found date32[day], a day, which is no point in time"),
        ({"end": pa.array([86_400_000], pa.date64())}, "schema", "found date64[ms], a day, which is no point in time"),
        ({"end": pa.array([1], pa.time64("us"))}, "schema", "found time64[us]"),
        ({"end": pa.array([1], pa.duration("us"))}, "schema", "found duration[us]"),
        ({"end": pa.array([1], pa.int32())}, "schema", "found int32"),
        ({"end": pa.array([1], pa.uint64())}, "schema", "found uint64"),
        ({"end": [1.0]}, "schema", "found double"),
        ({"end": ["2026-01-01"]}, "schema", "found string"),
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


@pytest.mark.parametrize("accepts_unknown", [True, False])
def test_a_column_of_nulls_alone_has_no_type_and_is_read_where_null_is_a_class(accepts_unknown):
    place = Column(name="place", categories=("home",), accepts_unknown=accepts_unknown)
    contract = InputContract(series=REALS.series, past=(*REALS.past, place), min_length=1, max_length=8)
    table = pa.table(
        {
            "series": [{"sensor": "a"}],
            "end": pa.array([1], pa.int64()),
            "past": [{"x": [1.0, 2.0], "place": [None, None]}],
        }
    )
    assert table.schema.field("past").type.field("place").type == pa.list_(pa.null())
    read = windows_from_arrow(table, contract)
    assert reasons(read) == ({} if accepts_unknown else {0: "columns"})
    assert read.windows.past["place"].tolist() == ([None, None] if accepts_unknown else [])
