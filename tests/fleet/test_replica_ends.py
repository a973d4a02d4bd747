"""How a stream of a replica ends over an error: at once, whatever its stores do, and with its first reason."""

import threading

import pytest

from tests.fleet.one_replica import PARTITIONS, PUMPS, SIZE, Running, World, fails_when
from undertow.core.errors import Refused


@pytest.fixture
def world():
    return World()


def test_a_stream_that_fails_gives_up_its_own_write_that_a_store_keeps_waiting(world):
    world.online[PUMPS].is_away = True
    world.produce(2, flow=[1.0])  # one delivery: the loop goes on beside its write
    fails = threading.Event()
    running = Running({PUMPS: world.opener(PUMPS, polls=fails_when(fails, Refused("made anew")))})
    running.replica.assign(PARTITIONS, SIZE)
    running.until(lambda s: s.blocked)
    fails.set()
    assert running.ended().error.startswith("Refused: made anew")
    assert world.offsets(PUMPS) == {}


@pytest.fixture
def unclosable(world):
    """Let the online store raise when it is closed."""

    def broken():
        raise Refused("the socket is gone")

    world.online[PUMPS].close = broken


@pytest.mark.usefixtures("unclosable")
def test_a_store_that_does_not_close_hides_no_earlier_error(world, caplog):
    running = Running({PUMPS: world.opener(PUMPS, polls=[Refused("made anew")])})
    running.replica.assign(PARTITIONS, SIZE)
    assert running.ended().error.startswith("Refused: made anew")
    assert f"{PUMPS} could not be closed: Refused: the socket is gone" in caplog.text


@pytest.mark.usefixtures("unclosable")
def test_a_store_that_does_not_close_at_the_end_is_told(world):
    running = Running({PUMPS: world.opener(PUMPS)})
    running.until(lambda s: s.state == "running")
    running.replica.drain(SIZE)
    assert running.ended().error == "Refused: the socket is gone"
