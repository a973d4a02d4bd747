"""What cannot be meant is refused, with its key, what was expected and what was found."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import contract_of
from undertow.core.durations import parse_duration, parse_microseconds, show_microseconds
from undertow.core.errors import Refused
from undertow.observations.plan import make_plan
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"every": "0"}, "windows.every: expected a duration above 0, found '0'"),
        ({"every": "10"}, "windows.every: expected a duration with its unit, such as 20ms"),
        ({"align": "next"}, "windows.align: expected one of nearest, until, found 'next'"),
        ({"tolerance": "31m"}, "windows.tolerance: expected at most half of every (1h), found '31m'"),
        ({"align": "until", "tolerance": "1m"}, "windows.tolerance: expected 0, since align = until takes every time"),
        ({"combine": "median"}, "windows.combine: expected one of last, mean, sum, min, max, found 'median'"),
        ({"combine": {"flow": "first"}}, "windows.combine: expected one of last, mean, sum, min, max, found 'first'"),
        ({"fill": "linear"}, "windows.fill: expected none, forward, null, a number or constant:TEXT, found 'linear'"),
        ({"fill": "forward"}, "windows.max_gap: expected at least one step of 1h, since fill has holes filled"),
        ({"fill": 1.0, "max_gap": "59m"}, "windows.max_gap: expected at least one step of 1h"),
        ({"fill": 1.0, "max_gap": -1}, "windows.max_gap: expected at least 0, found -1"),
        ({"on": "row"}, "windows.on: expected one of observation, grid, found 'row'"),
        ({"stride": 0}, "windows.stride: expected at least 1, found 0"),
        ({"min_length": 3, "max_length": 2}, "windows.max_length: expected 0, or at least min_length, found 2"),
        ({"origin": "2026-01-01"}, "windows.origin: expected a time as 2026-01-01T00:00Z, found '2026-01-01:"),
        ({"every": 3600}, "windows.every: expected a duration as a text, such as '15m' or '1h', found 3600"),
        ({"every": pd.Timedelta("1h")}, "windows.every: expected a duration as a text"),
        ({"tolerance": 0}, "windows.tolerance: expected a duration as a text"),
        ({"max_gap": 2.5}, "windows.max_gap: expected a duration as a text, or a whole number, found 2.5"),
        ({"max_gap": True}, "windows.max_gap: expected a duration as a text, or a whole number, found True"),
        ({"stride": 2.5}, "windows.stride: expected a whole number, found 2.5"),
        ({"min_length": "6"}, "windows.min_length: expected a whole number, found '6'"),
        ({"time": None}, "windows.time: expected a text, found None"),
        (
            {"calendar": ["hour"]},
            "windows.calendar: expected a dictionary of texts by column, such as {'hour'",
        ),
        ({"calendar": {"hour": 1}}, "windows.calendar: expected a dictionary of texts by column"),
        ({"fold": "first"}, "windows.fold: expected one of refuse, earlier, later, found 'first'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(keys, message):
    with pytest.raises(Refused) as refusal:
        WindowSpec(**{"every": "1h"} | keys)
    assert message in str(refusal.value)


MODE = Column(name="mode", categories=("x", "y"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"calendar": {"flw": "hour"}}, "expected columns of the model (flow, mode), found flw: did you mean flow?"),
        ({"fill": {"Modes": 1}, "max_gap": 1}, "found Modes: did you mean mode?"),
        ({"combine": {"flw": "mean"}}, "windows.combine: expected columns of the model (flow, mode), found flw"),
        ({"combine": {"mode": "mean"}}, "windows.combine: mode holds categories, which can only be last, found mean"),
        ({"fill": {"head": "none"}}, "windows.fill: expected columns of the model (flow, mode), found head"),
        ({"fill": "null", "max_gap": 1}, "windows.fill: null needs a model that takes windows with missing steps"),
        ({"fill": {"flow": "constant:x"}, "max_gap": 1}, "windows.fill: flow holds numbers, found the constant 'x'"),
        ({"fill": {"mode": 1}, "max_gap": 1}, "windows.fill: expected a category of mode (x, y), found '1'"),
        ({"max_length": 9}, "the model takes 1 to 4 steps, found 1 to 9"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(keys, message):
    with pytest.raises(Refused) as refusal:
        make_plan(WindowSpec(every="1h", **keys), contract_of("flow", MODE))
    assert message in str(refusal.value)


def test_a_number_of_steps_may_be_a_text_as_a_variable_of_the_environment_is():
    assert WindowSpec(every="1h", fill="forward", max_gap="3").max_gap_steps == 3


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(["us", "ms", "s", "m", "h", "d"])), min_size=1))
def test_a_duration_is_the_sum_of_its_parts(parts):
    sizes = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86_400 * 10**6}
    expected = sum(number * sizes[unit] for number, unit in parts)
    text = " ".join(f"{number}{unit}" for number, unit in parts)
    if expected <= 100 * 365 * sizes["d"]:
        assert parse_microseconds(text) == expected
    else:
        with pytest.raises(ValueError, match="at most 100 years"):
            parse_microseconds(text)


@pytest.mark.parametrize(
    ("iso", "text"), [("PT1H", "1h"), ("P1DT12H30M", "1d12h30m"), ("PT90S", "90s"), ("P2W", "2w"), ("PT0S", "0")]
)
def test_a_duration_may_be_written_as_iso_8601_does(iso, text):
    assert parse_microseconds(iso) == parse_microseconds(text) == 1_000_000 * parse_duration(text)
    assert parse_microseconds(show_microseconds(parse_microseconds(iso))) == parse_microseconds(iso)


@pytest.mark.parametrize("wrong", ["P", "PT", "P1M", "P1Y", "PT1", "P1H", "PT1.5H", "T1H", "-PT1H", "p1d"])
def test_what_has_no_one_length_is_no_duration(wrong):
    with pytest.raises(ValueError, match="expected a duration with its unit, such as 20ms, 90s, 15m, 1d12h or PT1H"):
        parse_microseconds(wrong)
