"""Which event times are believed, in every format and in tables, and what a refusal says of the unit that was meant."""

import copy
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.schemas.arrow_codec import encode_arrow
from undertow.schemas.event_times import EventTimes, hold_records, hold_rows
from undertow.schemas.records import REASONS
from undertow.schemas.times import FIRST_US, LAST_US, are_of_another_unit, format_time, guess_unit
from undertow.schemas.windows_arrow import window_schema, windows_from_arrow

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from formats import CONTRACT, FORMATS, LIMIT, documents, records

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
TIMES = EventTimes.at(NOW.timestamp(), min_us=315_532_800_000_000, max_ahead_us=DAY_US)
S_2026 = 1_767_225_602


def at(end: object, number: int = 0) -> dict:
    return {**copy.deepcopy(documents()[number]), "end": end}


def us(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value // 1000


def held(form, *ends: int):
    given_records = records([form.write(at(end)) for end in ends])
    return hold_records(form.decode(given_records, CONTRACT, max_record_bytes=LIMIT), given_records, TIMES)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_what_was_not_yet_kept_and_what_has_not_yet_happened_is_refused_to_the_microsecond(form):
    first, last = us("1980-01-01"), us("2026-06-02")
    found = held(form, first - 1, first, us("2026-01-01"), last, last + 1, S_2026)
    assert found.windows.end_us.tolist() == [first, us("2026-01-01"), last]
    assert found.record_of.tolist() == [1, 2, 3]
    assert [(reject.record.offset, reject.reason) for reject in found.rejects] == [
        (0, "event-time"),
        (4, "event-time"),
        (5, "event-time"),
    ]
    assert found.rejects[2].detail == (
        "end: expected 1980-01-01T00:00:00.000000Z to 2026-06-02T00:00:00.000000Z (kafka.event_time), found "
        "1970-01-01T00:29:27.225602Z (1767225602 microseconds since the epoch; as seconds it would be "
        "2026-01-01T00:00:02.000000Z)"
    )


def test_a_batch_of_usual_times_is_handed_on_as_it_is():
    given_records = records([json.dumps(at(us("2026-01-01"))).encode()])
    decoded = FORMATS[0].decode(given_records, CONTRACT, max_record_bytes=LIMIT)
    assert hold_records(decoded, given_records, TIMES) is decoded
    nothing = FORMATS[0].decode([], CONTRACT, max_record_bytes=LIMIT)
    assert hold_records(nothing, [], TIMES) is nothing


def test_a_time_before_1990_or_after_next_year_is_taken_and_counted_where_the_settings_allow_it():
    form = FORMATS[0]
    given_records = records([form.write(at(end)) for end in (us("1985-01-01"), us("2027-12-31"), us("2028-01-01"), 5)])
    decoded = form.decode(given_records, CONTRACT, max_record_bytes=LIMIT)
    wide = EventTimes.at(NOW.timestamp(), min_us=us("1970-01-01"), max_ahead_us=3650 * DAY_US)
    found = hold_records(decoded, given_records, wide)
    assert (len(found.windows), found.rejects, found.odd_times) == (4, (), 3)
    assert found.odd_time == "wearer=s01 limb=1, 1970-01-01T00:00:00.000005Z"
    assert hold_records(decoded, given_records, TIMES).odd_times == 1


def test_of_a_record_of_many_windows_the_believed_ones_are_kept_and_the_others_named_by_their_ids():
    batch = pa.RecordBatch.from_pylist(
        [at(end, number) for number, end in enumerate((us("2026-01-01"), S_2026 * 1000, S_2026))],
        schema=window_schema(CONTRACT),
    )
    windows = windows_from_arrow(batch, CONTRACT).windows
    given_records = records([encode_arrow(windows, CONTRACT)])
    decoded = FORMATS[-1].decode(given_records, CONTRACT, max_record_bytes=LIMIT)
    found = hold_records(decoded, given_records, TIMES)
    assert found.windows.series["wearer"].tolist() == ["s01"]
    (reject,) = found.rejects
    assert reject.detail.count("wearer=s02 limb=2: end: expected") == 2
    assert "as milliseconds it would be 2026-01-01T00:00:02.000000Z); wearer" in reject.detail


def test_a_record_that_is_refused_for_another_window_too_is_refused_once():
    rows = [at(us("2026-01-01")), at(S_2026, 1), at(us("2026-01-01"), 2)]
    rows[2]["past"]["ax"][0] = None
    batch = pa.RecordBatch.from_pylist(rows, schema=window_schema(CONTRACT))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    given_records = records([sink.getvalue().to_pybytes()])
    decoded = FORMATS[-1].decode(given_records, CONTRACT, max_record_bytes=LIMIT)
    (reject,) = hold_records(decoded, given_records, TIMES).rejects
    assert reject.reason == "number"
    assert "row 2: past.ax[0]" in reject.detail
    assert "as seconds it would be 2026" in reject.detail


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_rows_of_a_table_are_held_to_the_same_whatever_the_unit_of_their_type(unit):
    texts = ["2026-01-01", "1970-01-01 00:30", "2026-06-03", "2026-06-01 12:00"]
    ends = pa.array([pd.Timestamp(text) for text in texts], pa.timestamp(unit)).cast(pa.timestamp(unit, tz="UTC"))
    table = pa.Table.from_pylist([at(0) for _ in texts], schema=window_schema(CONTRACT)).set_column(1, "end", ends)
    found = hold_rows(windows_from_arrow(table, CONTRACT), TIMES)
    assert found.rows.tolist() == [0, 3]
    assert found.windows.end_us.tolist() == [us(texts[0]), us(texts[3])]
    assert [(bad.row, bad.reason) for bad in found.bad] == [(1, "event-time"), (2, "event-time")]
    assert "as seconds it would be 2027" not in found.bad[1].detail


@given(st.lists(st.integers(FIRST_US, LAST_US) | st.integers(TIMES.first_us - 3, TIMES.first_us + 3), max_size=20))
def test_exactly_what_lies_between_the_first_and_the_last_is_kept(ends):
    form = FORMATS[0]
    found = held(form, *ends)
    expected = [end for end in ends if TIMES.first_us <= end <= TIMES.last_us]
    assert found.windows.end_us.tolist() == expected
    assert len(found.rejects) == len(ends) - len(expected)
    assert found.odd_times == sum(end < us("1990-01-01") or end >= us("2028-01-01") for end in expected)
    assert all(reject.reason in REASONS for reject in found.rejects)


@given(st.integers(us("1990-01-01"), us("2099-12-31")), st.sampled_from(["seconds", "milliseconds", "days"]))
def test_the_unit_that_was_meant_is_guessed_for_every_time_of_these_years(time_us, unit):
    size = {"seconds": 10**6, "milliseconds": 10**3, "days": DAY_US}[unit]
    number = -(-time_us // size)
    assert f"as {unit} it would be {format_time(number * size)}" in guess_unit(number)
    assert guess_unit(time_us) == ""


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (S_2026 * 10**9, "as nanoseconds it would be 2026-01-01T00:00:02.000000Z"),
        (S_2026 + 0.5, "as seconds it would be 2026-01-01T00:00:02.500000Z"),
        (str(S_2026 * 1000), 'found "1767225602000", a number in quotes (1767225602000 microseconds'),
        (str(S_2026 * 10**6), "a number in quotes"),
        ("2026-01-01", 'found "2026-01-01"'),
        ("2026-01-01T00:00:00+01:00[Europe/Paris]", "ISO 8601 to the microsecond with a zone"),
        ("2026-01-01T00:00:00 UTC", "ISO 8601 to the microsecond with a zone"),
        ("2026-01-01T24:00:00.5Z", "ISO 8601 to the microsecond with a zone"),
        ("Thu, 01 Jan 2026 00:00:00 GMT", "ISO 8601 to the microsecond with a zone"),
        (1e300, "found 1e+300"),
    ],
)
def test_an_end_that_is_no_time_says_which_number_it_may_be(end, words):
    found = held(FORMATS[0], end)
    assert [reject.reason for reject in found.rejects] == ["end"]
    assert words in found.rejects[0].detail


@pytest.mark.parametrize("text", ["1970-01-21T10:53:45.602Z", "1969-12-31T23:59:59-00:00", "2026-06-03T00:00:00+23:59"])
def test_a_time_in_iso_8601_is_held_to_the_same(text):
    outside = not TIMES.first_us <= pd.Timestamp(text).value // 1000 <= TIMES.last_us
    assert [reject.reason for reject in held(FORMATS[0], text).rejects] == ["event-time"] * outside


def test_a_year_of_the_clock_is_counted_in_utc():
    eve = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    limits = [EventTimes.at(t.timestamp(), min_us=0, max_ahead_us=0) for t in (eve, eve + timedelta(seconds=1))]
    assert [limit.odd_after_us for limit in limits] == [us("2028-01-01") - 1, us("2029-01-01") - 1]
    assert EventTimes.at(0.0, min_us=0, max_ahead_us=2**80).last_us == LAST_US
    assert not EventTimes().refused(np.array([FIRST_US, LAST_US])).any()


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 5 * 10**15)), min_size=1))
def test_many_numbers_are_told_to_be_of_another_unit_as_each_alone_is(numbers):
    assert are_of_another_unit(np.array(numbers, np.int64)).tolist() == [bool(guess_unit(one)) for one in numbers]
