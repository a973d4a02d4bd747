"""Columns of the calendar are pandas' own in the zone, of the past and ahead, also where nothing was observed."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made
from undertow.core.errors import Refused
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column

PANDAS = {
    "hour": lambda times: times.hour,
    "minute": lambda times: times.minute,
    "day_of_week": lambda times: times.dayofweek,
    "day_of_month": lambda times: times.day,
    "day_of_year": lambda times: times.dayofyear,
    "week": lambda times: times.isocalendar().week,
    "month": lambda times: times.month,
    "quarter": lambda times: times.quarter,
    "is_weekend": lambda times: times.dayofweek >= 5,
}
OF_MODEL = tuple(Column(name=name) for name in PANDAS)
LENGTH, HORIZON = 3, 2


@given(
    st.lists(st.integers(0, 60_000), min_size=1, max_size=20, unique=True),
    st.sampled_from(["", "Europe/Berlin", "Asia/Kathmandu"]),
    st.sampled_from(["15m", "1h", "1d"]),
)
def test_they_are_what_pandas_says(points, zone, every):
    spec = WindowSpec(every=every, zone=zone, calendar={name: name for name in PANDAS}, fill="forward", max_gap=5)
    contract = contract_of("flow", *OF_MODEL, future=OF_MODEL, horizon=HORIZON, max_length=LENGTH)
    times = pa.array([point * spec.every_us + 10**15 // spec.every_us * spec.every_us for point in points], pa.int64())
    table = pa.table({"site": pa.array(["a"] * len(points)), TIME: times, "flow": np.ones(len(points))})
    windows = made(table, contract, spec)
    assert len(windows) == len(points)
    for batch in windows.batches(7):
        for row, (end, start) in enumerate(zip(batch.end_us, batch.starts[:-1], strict=True)):
            length = batch.lengths[row]
            steps = end + spec.every_us * np.arange(1 - length, HORIZON + 1)
            local = pd.to_datetime(steps, unit="us", utc=True).tz_convert(zone or "UTC")
            for name, of_pandas in PANDAS.items():
                expected = np.asarray(of_pandas(local), np.float64)
                assert batch.past[name][start : start + length].tolist() == expected[:length].tolist()
                assert batch.future[name][row].tolist() == expected[length:].tolist()


def windows_at(hours, columns, calendar, **changes):
    spec = WindowSpec(every="1h", calendar=calendar, **changes)
    contract = contract_of("flow", *columns, future=columns, horizon=1)
    times = pd.DatetimeIndex(hours, tz="UTC").as_unit("us")
    return next(made(pa.table({"site": ["a"], TIME: pa.array(times), "flow": [1.0]}), contract, spec).batches())


def test_a_model_that_takes_categories_gets_their_texts():
    hours = tuple(map(str, range(24)))
    columns = (Column(name="h", categories=hours), Column(name="off", categories=("False", "True")))
    columns += (Column(name="weekend", categories=("0", "1")),)
    calendar = {"h": "hour", "off": "is_weekend", "weekend": "is_weekend"}
    batch = windows_at(["2026-01-02 23:00"], columns, calendar)
    assert {name: column.tolist() for name, column in batch.past.items()} == {
        "flow": [1.0],
        "h": ["23"],
        "off": ["False"],
        "weekend": ["0"],
    }
    assert {name: column.tolist() for name, column in batch.future.items()} == {
        "h": [["0"]],
        "off": [["True"]],
        "weekend": [["1"]],
    }


def test_holidays_are_those_of_the_country_by_the_local_day():
    columns = (Column(name="h"), Column(name="bavarian"))
    calendar = {"h": "holiday:DE", "bavarian": "holiday:DE-BY"}
    batch = windows_at(["2026-12-25 22:00"], columns, calendar, zone="Europe/Berlin")
    assert (batch.past["h"].tolist(), batch.future["h"].tolist()) == ([1.0], [[1.0]])
    batch = windows_at(["2026-01-06 22:00"], columns, calendar, zone="Europe/Berlin")
    assert (batch.past["h"].tolist(), batch.past["bavarian"].tolist()) == ([0.0], [1.0])
    assert batch.future["bavarian"].tolist() == [[0.0]]  # 23:00 in UTC is the day after, there


def test_index_counts_grid_points_from_the_origin():
    batch = windows_at(["2026-01-02 01:00"], (Column(name="t"),), {"t": "index"}, origin="2026-01-01T00:00Z")
    assert (batch.past["t"].tolist(), batch.future["t"].tolist()) == ([25.0], [[26.0]])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("weekday", "expected one of hour, minute,"),
        ("holiday:XX", "expected a country"),
        ("holiday:DE-XX", "expected a country, or a part of it"),
    ],
)
def test_what_the_calendar_does_not_know_is_refused(kind, message):
    with pytest.raises(Refused, match=message):
        WindowSpec(every="1h", calendar={"flow": kind})


def test_a_zone_that_is_none_is_refused():
    with pytest.raises(Refused, match=r"windows.zone: expected a name of the IANA database such as Europe/Berlin"):
        WindowSpec(every="1h", zone="Mars/Olympus")
