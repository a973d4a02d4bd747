"""The size that a lag asks for: never beyond its limits, never in a hurry, and still where nothing is known."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.fleet.autoscale import OVER_S, Load, Meter, SizeDecision, decide_size, take_reading
from undertow.fleet.status import ReplicaStatus
from undertow.schemas.records import Partition
from undertow.settings.sections import FleetSettings
from undertow.stream.counts import Counts

FLEET = FleetSettings(max_replicas=6)
BUSY = Load(lag=60_000, arrival=500.0, rate=400.0)  # (1000 + 500) / 400: four
IDLE = Load(lag=0, arrival=0.0, rate=400.0)

numbers = st.floats(0, 1e9, allow_nan=False)
loads = st.none() | st.builds(Load, lag=st.integers(0, 10**12), arrival=numbers, rate=numbers)
fleets = st.builds(
    lambda least, more, up, down: FleetSettings(
        replicas=least,
        min_replicas=least,
        max_replicas=least + more,
        scale_up_seconds=up,
        scale_down_seconds=down,
    ),
    st.integers(1, 4),
    st.integers(0, 8),
    st.floats(0, 30),
    st.floats(0, 600),
)


def follow(loads, *, fleet=FLEET, size=2, partitions=8, step=1.0):
    """The sizes that follow from a load at each moment."""
    decision, sizes = SizeDecision(size=size), []
    for moment, load in enumerate(loads):
        decision = decide_size(fleet, decision, load, partitions=partitions, now=moment * step)
        sizes.append(decision.size)
    return sizes


@given(fleets, st.lists(loads, max_size=40), st.integers(1, 20), st.integers(1, 12))
def test_a_size_stays_within_its_limits_and_shrinks_by_one(fleet, moments, size, partitions):
    sizes = follow(moments, fleet=fleet, size=size, partitions=partitions, step=20.0)
    assert all(fleet.min_replicas <= one <= fleet.max_replicas for one in sizes)
    assert all(one <= max(partitions, fleet.min_replicas) for one in sizes)
    assert all(after >= before - 1 for before, after in itertools.pairwise(sizes))


@given(fleets, loads, st.integers(1, 12))
def test_a_load_that_stays_as_it_is_brings_a_size_that_stays_as_it_is(fleet, load, size):
    sizes = follow([load] * 200, fleet=fleet, size=size, step=50.0)  # 11 times smaller, each after 600 s
    turns = [after > before for before, after in itertools.pairwise(sizes) if after != before]
    assert len(set(turns)) <= 1
    assert len(set(sizes[160:])) == 1


@given(st.lists(st.floats(0.95, 1.05), min_size=100, max_size=100))
def test_noise_around_a_load_changes_nothing_once_it_is_answered(noise):
    steady = Load(lag=0, arrival=1500.0, rate=400.0)
    moments = [replace(steady, arrival=steady.arrival * factor) for factor in noise]
    assert set(follow(moments, size=4, step=30.0)) == {4}


def test_it_grows_at_once_to_what_is_needed_after_a_while_and_shrinks_one_by_one_after_a_long_while():
    sizes = follow([BUSY] * 20 + [IDLE] * 700)
    assert sizes[:10] == [2] * 10
    assert sizes[10:20] == [4] * 10
    assert sizes[310:330] == [4] * 10 + [3] * 10
    assert sizes[-1] == 2


def test_it_does_not_shrink_to_a_size_that_would_have_nothing_to_spare():
    assert set(follow([Load(lag=0, arrival=1160.0, rate=400.0)] * 1000, size=4)) == {4}  # 2.9 replicas: three just do


def test_a_short_peak_moves_nothing():
    assert set(follow(([BUSY] * 9 + [IDLE]) * 20)) == {2}


def test_what_is_not_known_moves_nothing_and_is_said():
    assert set(follow([None] * 1000, size=3)) == {3}
    assert "no rate" in decide_size(FLEET, SizeDecision(size=3), None, partitions=8, now=0).reason


def replica(name, *, offsets, lag, poll_s=0.0, partition=0):
    return ReplicaStatus(
        name=name,
        state="running",
        lag={Partition("windows", partition): lag},
        counts=Counts(offsets=offsets, poll_s=poll_s),
    )


def meter(*fleets, every=OVER_S):
    found = Meter()
    for moment, fleet in enumerate(fleets):
        found = found.look(take_reading(fleet, partitions=len(fleet), now=moment * every))
    return found.load


def test_a_fleet_with_a_backlog_shows_what_a_replica_can_do():
    load = meter([replica("a", offsets=0, lag=10_000)], [replica("a", offsets=2_000, lag=9_000)])
    assert load == Load(lag=9_000, arrival=pytest.approx(200.0), rate=pytest.approx(400.0))


def test_a_fleet_that_keeps_up_shows_it_by_the_time_that_it_does_not_wait():
    load = meter([replica("a", offsets=0, lag=0)], [replica("a", offsets=1_000, lag=0, poll_s=4.0)])
    assert load == Load(lag=0, arrival=pytest.approx(200.0), rate=pytest.approx(1_000.0))


def test_where_a_partition_has_no_reader_or_the_replicas_have_changed_nothing_is_known():
    assert take_reading([replica("a", offsets=0, lag=5)], partitions=2, now=0.0) is None
    assert meter([replica("a", offsets=0, lag=9_000)], [replica("b", offsets=5_000, lag=4_000)]) is None
    assert meter([replica("a", offsets=0, lag=0)]) is None
