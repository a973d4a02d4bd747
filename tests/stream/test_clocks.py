"""The wall clock is set by an hour while the monotonic one goes on, both ways: nothing waits, and it is told once."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.core.errors import Unavailable
from undertow.schemas.records import Partition
from undertow.stream.clocks import STEP_S, Clocks
from undertow.stream.events import Checkpointed, ClockStepped, Recovered, Retrying
from undertow.telemetry.event_log import EventLog

P0 = Partition("windows", 0)
HOUR = 3600.0


@pytest.mark.parametrize("set_by", [-HOUR, HOUR])
def test_checkpoints_and_lag_go_on_as_before_and_the_step_is_told_once(world, set_by, caplog):
    events = []
    stream = world.stream(tell=lambda event: (events.append(event), EventLog()(event)))
    stream.assign([P0])
    world.produce("p", 1)
    stream.step()
    world.set_by = set_by
    for wanted in range(1, 5):
        world.now += 11.0
        world.produce("p", int(world.now))
        with caplog.at_level(logging.WARNING):
            for _ in range(20_000):  # a checkpoint is made by a thread of its own
                stream.step()
                if stream.counts.checkpoints == wanted:
                    break
        assert (stream.counts.checkpoints, stream.lag) == (wanted, {P0: 0})
    stream.checkpoint()
    done = [event for event in events if isinstance(event, Checkpointed)]
    assert all(0 <= end - begin < 60 for begin, end in (event.took for event in done))
    assert stream.durable_at == pytest.approx(world.now + world.set_by, abs=12.0)
    assert [event.seconds for event in events if isinstance(event, ClockStepped)] == [set_by]
    (said,) = [record.message for record in caplog.records if "clock was set" in record.message]
    assert ("back by 3,600.0 s" if set_by < 0 else "forward by 3,600.0 s") in said


@pytest.mark.parametrize("set_by", [-HOUR, HOUR])
def test_a_store_that_is_tried_again_is_told_of_by_the_clock_that_goes_on(world, set_by):
    events = []

    def set_the_clock():
        world.set_by = set_by
        raise Unavailable("still away")

    stream = world.stream(writes=[Unavailable("away"), *[set_the_clock] * 40], tell=events.append)
    stream.assign([P0])
    world.produce("p", 1)
    began = world.now
    stream.step()
    stream.checkpoint()
    told = [event for event in events if isinstance(event, Retrying)]
    assert len(told) == 1 + int((world.now - began) // 61)
    (recovered,) = [event for event in events if isinstance(event, Recovered)]
    assert recovered.seconds == world.now - began


def test_each_clock_may_go_by_itself():
    wall, ticks = [5_000.0], [10.0]
    clocks = Clocks(lambda: wall[0], lambda: ticks[0])
    began = clocks.now()
    ticks[0] += 2.0  # the wall clock stands
    assert (clocks.seconds(began), clocks.span(began)) == (2.0, (5_000.0, 5_002.0))
    assert clocks.step() == -2.0
    assert clocks.step() == 0.0
    wall[0] += HOUR  # the other one stands
    assert clocks.seconds(began) == 2.0
    assert clocks.point(10.0) == 5_000.0 + HOUR - 2.0
    assert clocks.step() == HOUR


@given(drifts=st.lists(st.floats(-0.9, 0.9) | st.floats(-1e5, 1e5), max_size=20))
def test_what_is_told_of_is_each_step_and_no_slow_drift(drifts):
    wall, ticks = [1e9], [0.0]
    clocks = Clocks(lambda: wall[0], lambda: ticks[0])
    for drift in drifts:
        ticks[0] += 0.1
        wall[0] += 0.1 + drift
        told = clocks.step()
        if abs(abs(drift) - STEP_S) > 1e-3:
            assert (told != 0.0) == (abs(drift) > STEP_S)
