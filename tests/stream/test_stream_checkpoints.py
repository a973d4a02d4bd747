"""A checkpoint is written beside the loop: what goes on meanwhile, and what must not."""

import threading

import pytest

from undertow.adapters.memory_source import Crash
from undertow.schemas.records import Partition
from undertow.stream.events import Checkpointed

ZERO = Partition("windows", 0)


class Gate:
    """A publish of the script that waits until the test lets it go."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(10)


def test_the_loop_goes_on_while_a_checkpoint_is_written(world):
    gate = Gate()
    stream = world.stream(publishes=[gate], checkpoint_rows=2)
    stream.assign([ZERO])
    for end in (1, 2):
        world.produce("a", end)
    stream.step()
    world.produce("a", 3)
    stream.step()
    stream._settle()
    assert world.online["a",].event_us == 3
    assert world.offline_offsets() == []
    assert world.broker.committed == {}
    gate.opened.set()
    stream.checkpoint()
    assert world.offline_offsets() == [0, 1, 2]
    assert world.broker.committed == {ZERO: 3}


def test_a_second_checkpoint_waits_for_the_first_so_that_memory_is_bounded(world):
    gate, published = Gate(), []
    stream = world.stream(publishes=[gate], checkpoint_rows=2, tell=published.append)
    stream.assign([ZERO])
    for end in range(1, 5):
        world.produce("a", end)
        if end < 4:
            stream.step()
    threading.Timer(0.05, gate.opened.set).start()
    stream.step()  # two rows wait already: it returns only when the gate is open
    assert gate.opened.is_set()
    stream.checkpoint()
    assert [event.ranges[ZERO] for event in published if isinstance(event, Checkpointed)] == [(0, 2), (2, 4)]


def test_a_checkpoint_comes_by_bytes(world):
    stream = world.stream(checkpoint_bytes=24)  # three vectors of two float32
    stream.assign([ZERO])
    for end in (1, 2, 3):
        assert not stream._checkpoints.is_busy
        world.produce("a", end)
        stream.step()
    stream._finish_checkpoint(wait=True)
    assert world.offline_offsets() == [0, 1, 2]


def test_after_a_checkpoint_that_failed_no_later_one_leaves_its_rows_out(world):
    stream = world.stream(publishes=[Crash()])
    stream.assign([ZERO])
    world.produce("a", 1)
    stream.step()
    for _ in range(2):
        with pytest.raises(Crash):
            stream.checkpoint()
        world.produce("a", 2)
    assert world.offline_offsets() == []
    assert world.broker.committed == {}
