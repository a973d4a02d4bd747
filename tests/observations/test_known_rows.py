"""Rows of a topic of what is known ahead, in whatever portions they come, are the table of the newest ones."""

import json
import random
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, bits, contract_of, made
from undertow.observations import known_rows
from undertow.observations.from_cells import require_known
from undertow.observations.known_rows import KnownRows, empty_known, known_form, known_names
from undertow.observations.plan import make_plan
from undertow.observations.record_arrow import arrow_reader, encode_rows
from undertow.observations.record_json import json_reader
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.records import Partition, Record

BEGIN_US, EVERY_US = 1_700_000_000_000_000, 1_000_000
PRICE, TARIFF = Column(name="price"), Column(name="tariff", categories=("low", "high"))
SERIES = (IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer"))
CONTRACT = contract_of("flow", PRICE, TARIFF, series=SERIES, future=(PRICE, TARIFF), horizon=2, max_length=3)
SPEC = WindowSpec(every="1s", created="made")
PLAN = make_plan(SPEC, CONTRACT, known=("price", "tariff"))
NAMES = ["price", "tariff"]


def kept_rows(plan=PLAN, **given):
    form = known_form(plan)
    return KnownRows(plan, json_reader(form, some_of=NAMES, max_record_bytes=10_000), **given)


def record(offset, rows, *, partition=0, appended_us=0):
    value = rows if rows is None or isinstance(rows, bytes) else json.dumps(rows).encode()
    return Record(partition=Partition("ahead", partition), offset=offset, appended_us=appended_us, value=value)


def a_row(step=0, **changes):
    row = {"site": "a", "unit": 1, TIME: BEGIN_US + step * EVERY_US, "price": 1.0, "tariff": "low"} | changes
    return {name: value for name, value in row.items() if value is not ...}


def sorted_rows(table):
    return sorted(map(repr, table.to_pylist()))


OBSERVED = pa.table(
    {
        "site": ["a"] * 6 + ["b"] * 6,
        "unit": [1, 2] * 6,
        TIME: pa.array([BEGIN_US + (place // 2 % 3) * EVERY_US for place in range(12)], pa.int64()),
        "made": [0] * 12,
        "flow": [float(place) for place in range(12)],
    }
)
ROWS = st.fixed_dictionaries(
    {
        "step": st.integers(0, 5),
        "site": st.sampled_from("ab"),
        "unit": st.integers(1, 2),
        "price": st.sampled_from([None, 1.0, 2.0, 3.0]),
        "tariff": st.sampled_from([None, "low", "high"]),
        "made": st.sampled_from([None, 1, 2]),
        "appended": st.integers(0, 3),
        "partition": st.integers(0, 2),
        "goes_on": st.booleans(),
    }
)


@given(
    st.lists(ROWS, min_size=1, max_size=40),
    st.sampled_from([("site", "unit"), ("site",), ()]),
    st.sampled_from(["", "made"]),
    st.integers(0, 1 << 32),
    st.sampled_from([1, 5, 1 << 16]),
)
@example([], ("site",), "", 0, 1)
def test_whatever_the_order_and_the_portions_windows_are_those_of_the_newest_rows(
    drawn, ids, created, seed, merge_rows
):
    spec = replace(SPEC, created=created)
    plan = make_plan(spec, replace(CONTRACT, future=(PRICE, TARIFF)), known=NAMES)
    records, newest = [], {}
    for one in drawn:
        row = a_row(one["step"], **{name: one[name] for name in (*ids, "price", "tariff", "made")})
        row = {name: value for name, value in row.items() if name not in {"site", "unit"} - {*ids}}
        if one["goes_on"] and records:
            records[-1][1].append(row)
        else:
            records.append((one, [row]))
        owner, place = records[-1][0], (len(records), len(records[-1][1]))
        made_at = -1 if not created or one["made"] is None else one["made"]
        order = (made_at, owner["appended"], owner["partition"], *place)
        key = (*(row[name] for name in ids), row[TIME])
        if key not in newest or newest[key][0] < order:
            newest[key] = order, {name: row[name] for name in (*ids, TIME, *NAMES)}
    sent = [
        record(offset, rows, partition=one["partition"], appended_us=one["appended"])
        for offset, (one, rows) in enumerate(records)
    ]
    chance = random.Random(seed)
    chance.shuffle(sent)
    kept, before = kept_rows(plan), known_rows.MERGE_ROWS
    known_rows.MERGE_ROWS = merge_rows
    try:
        while sent:
            size = chance.randint(1, 4)
            assert kept.take(sent[:size]).rows == 0
            sent = sent[size:]
    finally:
        known_rows.MERGE_ROWS = before
    expected = pa.Table.from_pylist([row for _, row in newest.values()], schema=empty_known(plan).schema)
    found = kept.table()
    expected = expected.select(found.column_names) if drawn else expected
    assert sorted_rows(found) == sorted_rows(expected)
    assert bits(made(OBSERVED, CONTRACT, spec, known=found)) == bits(made(OBSERVED, CONTRACT, spec, known=expected))


def test_a_row_that_says_nothing_is_counted_with_its_place_and_leaves_its_neighbours_as_they_are():
    kept = kept_rows()
    bad = [
        a_row(1, price="dear"),
        a_row(1, tariff="middle"),
        a_row(**{TIME: BEGIN_US + 1}),
        a_row(1, site=...),
        a_row(1, price=..., tariff=...),
    ]
    assert kept.take([record(3, [a_row(0)])]).rows == 0
    told = kept.take([record(4, bad), record(5, b"{"), record(6, None), record(7, [a_row(2)])])
    assert (told.rows, told.example[:21]) == (6, "ahead-0@5: expected J")
    assert len(kept) == 2
    assert kept.take([record(8, bad[3:4])]).example == (
        "ahead-0@8: site: expected an id: text of 1 to 1024 bytes, or an integer, found None"
    )


def test_a_newer_row_takes_a_value_back():
    kept = kept_rows()
    kept.take([record(0, [a_row(0), a_row(1)]), record(1, [a_row(1, price=None)])])
    assert kept.table()["price"].to_pylist() == [1.0, None]


def test_nothing_is_known_until_something_comes_and_after_it_was_forgotten():
    kept, series = kept_rows(), StreamedSeries(PLAN, empty_known(PLAN))
    assert kept.table().schema == empty_known(PLAN).schema
    kept.take([record(0, [a_row(0)])])
    kept.forget()
    assert kept.table().num_rows == len(kept) == 0
    kept.take([record(0, [a_row(0, site=..., unit=...)])])
    assert kept.table().column_names == [TIME, "price", "tariff"]
    series.know(kept.table())
    assert known_names({"price": "hour"}, CONTRACT) == ["tariff"]
    require_known(made(OBSERVED, CONTRACT, SPEC, known=kept.table()).known)


def test_rows_older_than_asked_for_are_let_go_of():
    now = BEGIN_US / 1e6 + 10
    kept = kept_rows(keep_us=4 * EVERY_US, clock=lambda: now)
    kept.take([record(0, [a_row(step) for step in range(12)])])
    assert len(kept) == 6
    now += 3
    assert kept.table()[TIME].cast(pa.int64()).to_pylist() == [BEGIN_US + step * EVERY_US for step in (9, 10, 11)]


@pytest.mark.parametrize("appended_us", [-1_000, (1 << 63) * 1_000])
def test_no_time_of_a_record_is_too_odd_to_be_compared(appended_us):
    kept = kept_rows()
    assert kept.take([record(0, [a_row(0)], appended_us=appended_us)]).rows == 0


def test_an_arrow_record_may_lack_ids_and_the_time_of_creation():
    form = known_form(PLAN)
    kept = KnownRows(PLAN, arrow_reader(form, max_record_bytes=10_000, optional=["site", "unit", "made"]))
    table = pa.table({TIME: pa.array([BEGIN_US], pa.int64()), "price": [1.0], "tariff": ["low"]})
    assert kept.take([record(0, encode_rows(table))]).rows == 0
    assert kept.table().column_names == [TIME, "price", "tariff"]
    lacking = kept.take([record(1, encode_rows(table.drop_columns(["tariff"])))])
    assert lacking.example.startswith("ahead-0@1: expected a column tariff, found none")


def test_what_is_known_of_one_series_never_becomes_that_of_all():
    kept = kept_rows()
    assert kept.take([record(0, [{TIME: BEGIN_US, "price": 9.0, "tariff": "low"}])]).rows == 0
    bad = kept.take([record(1, [a_row(0, price=1.0), a_row(0, site="b", price=2.0), {TIME: BEGIN_US, "price": 3.0}])])
    told = "ahead-0@1: site: expected none, as in the first row that was read, found b"
    assert (bad.rows, bad.example) == (2, told)
    assert [row["price"] for row in kept.table().to_pylist()] == [3.0]


@pytest.mark.parametrize("portion", [1, 2, 3])
def test_the_first_row_that_says_something_says_which_ids_it_needs_however_records_come(portion):
    kept, bad = kept_rows(), 0
    records = [
        record(0, [{TIME: BEGIN_US + 1, "price": 1.0, "tariff": "low"}]),  # off the grid
        record(1, [a_row(0), a_row(0, site="b")]),
        record(2, [{TIME: BEGIN_US, "price": 1.0, "tariff": "low"}]),
    ]
    for first in range(0, 3, portion):
        bad += kept.take(records[first : first + portion]).rows
    assert (bad, len(kept), kept.table().column_names[:2]) == (2, 2, ["site", "unit"])
