"""Event times as they are written."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.schemas.times import FIRST_US, LAST_US, format_times, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.123456000Z", 123_456),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:00+0200", 0),
        ("1970-01-01T02:00:00+02", 0),
        ("1969-12-31T18:30:00.25-05:30", 250_000),
        ("1900-01-01T00:00:00Z", FIRST_US),
        ("9998-12-31T23:59:59.999999Z", LAST_US),
    ],
)
def test_iso_times_with_a_zone_are_read(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01t00:00:00z",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:00:30",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "1899-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+23:59",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        FIRST_US - 1,
        LAST_US + 1,
        True,
        0.0,
        None,
        [],
    ],
)
def test_what_is_no_time_or_has_no_zone_or_is_out_of_range_is_refused(value):
    with pytest.raises((ValueError, OverflowError)):
        parse_time(value)


@given(st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001 given a zone below
def test_any_time_in_any_zone_is_read_exactly(local, offset_min):
    time = local.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert parse_time(time.isoformat()) == (time - EPOCH) // timedelta(microseconds=1)


@given(st.lists(st.integers(FIRST_US, LAST_US)))
def test_what_was_formatted_is_read_again(times):
    assert [parse_time(text) for text in format_times(np.array(times, np.int64))] == times
