"""Times without a zone are local times, decided by the zone's rules; those that are not certain are faults."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import undertow
from tests.observations.conftest import TIME, contract_of, made
from undertow.core.errors import Refused
from undertow.observations.spec import WindowSpec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
TWICE = datetime.fromisoformat("2026-10-25T02:30")
CHANGES = [TWICE, *map(datetime.fromisoformat, ("2026-03-29T02:30", "2026-11-01T01:30", "2026-04-05T01:45"))]
seconds = st.integers(0, 366 * 86_400).map(lambda number: CHANGES[1] + timedelta(seconds=number))
minutes = st.integers(-90, 90).map(lambda number: timedelta(minutes=number))
near_changes = st.builds(lambda change, after: change + after, st.sampled_from(CHANGES), minutes)
times = st.one_of(seconds, near_changes)


def meant(time, zone, fold):
    """Return what a local time means, or None if it is not certain, by Python's own rules."""
    both = [time.replace(tzinfo=ZoneInfo(zone), fold=which) for which in (0, 1)]
    if both[0].astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != time:
        return None
    utc = [one.astimezone(UTC) for one in both]
    if utc[0] != utc[1] and fold == "refuse":
        return None
    return (utc[1 if fold == "later" else 0] - EPOCH) // timedelta(microseconds=1)


@given(st.lists(times, max_size=20), st.sampled_from(ZONES), st.sampled_from(["refuse", "earlier", "later"]))
def test_a_local_time_means_what_the_zone_says(given_times, zone, fold):
    table = pa.table(
        {
            "site": pa.array([f"s{row:02}" for row in range(len(given_times))]),
            TIME: pa.array(given_times, pa.timestamp("ms")),
            "flow": pa.array([1.0] * len(given_times)),
        }
    )
    windows = made(table, contract_of("flow"), WindowSpec(every="1s", zone=zone, fold=fold))
    expected = [meant(time, zone, fold) for time in given_times]
    assert windows.end_us.tolist() == [time for time in expected if time is not None]
    assert [fault.row for fault in windows.faults] == [row for row, time in enumerate(expected) if time is None]
    assert {fault.reason for fault in windows.faults} <= {"local-time"}


@pytest.mark.parametrize("fold", ["refuse", "later"])
def test_a_local_time_that_is_skipped_in_spring_is_a_fault_that_names_the_zone(fold):
    times = pa.array([CHANGES[1], CHANGES[1] + timedelta(hours=1)], pa.timestamp("ns"))
    spec = WindowSpec(every="30m", zone="Europe/Berlin", fold=fold, min_length=1)
    table = pa.table({"site": ["a", "a"], "event_timestamp": times, "flow": [1.0, 2.0]})
    (fault,) = undertow.windows(table, contract_of("flow"), spec).faults
    assert (fault.row, fault.reason) == (0, "local-time")
    assert "expected a time that Europe/Berlin has once" in fault.detail


@pytest.mark.parametrize(("unit", "is_right"), [(1, False), (10**3, False), (10**6, True)])
def test_whole_numbers_that_are_seconds_or_milliseconds_are_faults(unit, is_right):
    times = 1_760_000_000 * unit + np.arange(8) * unit
    table = pa.table({"site": ["a"] * 8, "event_timestamp": times, "flow": np.ones(8)})
    made = undertow.windows(table, contract_of("flow"), WindowSpec(every="1s", tolerance="500ms", min_length=1))
    assert [fault.reason for fault in made.faults] == ([] if is_right else ["time"] * 8)
    assert bool(len(made)) == is_right


def test_a_fault_says_which_time_there_is_twice_and_what_decides():
    table = pa.table({"site": ["a"], TIME: pa.array([TWICE]), "flow": [1.0]})
    (fault,) = made(table, contract_of("flow"), WindowSpec(every="30m", zone="Europe/Berlin")).faults
    assert fault.detail == (
        "event_timestamp: expected a time that Europe/Berlin has once (windows.fold), found 2026-10-25T02:30:00.000000"
    )


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (pa.array([TWICE]), "found timestamp[us]; windows.zone says in which zone they are"),
        (pa.array(["2026-01-01"]), "found string"),
        (pa.array([TWICE.date()]), "found date32[day]"),
        (pa.array([1.5]), "found double"),
    ],
)
def test_a_column_that_holds_no_points_in_time_is_refused(times, found):
    table = pa.table({"site": ["a"], TIME: times, "flow": [1.0]})
    with pytest.raises(Refused, match=r"expected timestamps with a zone, or integer microseconds") as refusal:
        made(table, contract_of("flow"), WindowSpec(every="1h"))
    assert found in str(refusal.value)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (pa.array([None], pa.timestamp("us", tz="UTC")), "time"),
        (pa.array([1], pa.timestamp("ns", tz="UTC")), "time"),
        (pa.array([-(10**17)], pa.int64()), "time"),
    ],
    ids=["none", "finer than microseconds", "before 1900"],
)
def test_a_row_without_a_valid_time_is_a_fault(times, reason):
    windows = made(pa.table({"site": ["a"], TIME: times, "flow": [1.0]}), contract_of("flow"), WindowSpec(every="1us"))
    assert [(fault.row, fault.reason) for fault in windows.faults] == [(0, reason)]
    assert len(windows) == 0
