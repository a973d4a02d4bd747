"""Who may start: leases in a register that every machine sees, told by nothing but whether they change."""

import threading
from dataclasses import replace

import pytest

from undertow.core.errors import Refused, Unavailable
from undertow.fleet.lease import BEAT_S, CHANGES, LOOK_EVERY_S, SETTLE_S, SILENCE_S, Heartbeat, Lease, acquire

MINE = Lease(run="mine", fleet="tonight", host="here", pid=1, since=0.0)
THEIRS = Lease(run="theirs", fleet="last-week", host="elsewhere", pid=4711, since=1_767_225_600.0)


class World:
    """A register, a clock that only waiting moves, and what others do while we wait."""

    def __init__(self, text="", *, meanwhile=lambda _world: None):
        self.text, self.now, self.meanwhile = text, 0.0, meanwhile

    def write(self, text):
        self.text = text

    def wait(self, seconds):
        self.now += seconds
        self.meanwhile(self)

    def acquire(self, own=MINE):
        acquire(own, read=lambda: self.text, write=self.write, clock=lambda: self.now, wait=self.wait)


def beats(until=float("inf")):
    """Theirs, once a second, on a clock that has nothing to do with ours."""

    def meanwhile(world):
        if world.now <= until:
            world.text = replace(THEIRS, beat=str(int(world.now + 0.6))).to_text()

    return meanwhile


def test_where_nobody_is_the_claim_costs_no_more_than_reading_it_back():
    world = World()
    world.acquire()
    assert Lease.parse(world.text) == MINE
    assert world.now == SETTLE_S


def test_a_living_fleet_is_named_with_its_host_its_start_and_the_ways_out():
    world = World(THEIRS.to_text(), meanwhile=beats())
    with pytest.raises(Refused) as refusal:
        world.acquire()
    for part in ("'last-week'", "elsewhere", "4711", "2026-01-01 00:00:00 UTC", "kafka.group", "--force"):
        assert part in str(refusal.value)
    assert Lease.parse(world.text).run == "theirs"
    assert world.now <= CHANGES * BEAT_S + LOOK_EVERY_S


def test_a_fleet_that_was_killed_holds_up_its_successor_for_seconds_only():
    world = World(THEIRS.to_text())
    world.acquire()
    assert Lease.parse(world.text) == MINE
    assert world.now <= SILENCE_S + LOOK_EVERY_S + SETTLE_S


def test_a_fleet_that_dies_while_we_look_holds_nobody_up_for_long():
    world = World(THEIRS.to_text(), meanwhile=beats(until=1.0))
    world.acquire()
    assert world.now <= 1.0 + SILENCE_S + LOOK_EVERY_S + SETTLE_S


def test_of_two_that_start_at_once_one_gives_way():
    def other_writes_last(world):
        world.text = THEIRS.to_text()

    with pytest.raises(Refused, match="last-week"):
        World(meanwhile=other_writes_last).acquire()


@pytest.mark.parametrize("text", ["", "no lease", "{}", '{"run": 1}', "[]"])
def test_what_is_no_sign_of_ours_holds_nobody_up(text):
    world = World(text)
    world.acquire()
    assert world.now == SETTLE_S


def test_a_fleet_changes_its_sign_through_silent_brokers_and_takes_it_away_at_its_end():
    written, enough = [], threading.Event()

    def write(text):
        written.append(text)
        if len(written) == 1:
            message = "the broker is away"
            raise Unavailable(message)
        enough.set()

    beat = Heartbeat(MINE, write=write)
    assert enough.wait(timeout=30)
    beat.stop(is_last=True)
    first, second, *_, last = written
    assert Lease.parse(first).run == Lease.parse(second).run == "mine"
    assert first != second
    assert last == ""
