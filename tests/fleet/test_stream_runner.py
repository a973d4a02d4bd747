"""What the loop of one stream says when it ends over what cannot be mended: which rows are in no history."""

import pytest

from tests.stream.conftest import World
from undertow.core.errors import Refused, Unavailable
from undertow.fleet.stream_runner import StreamRunner
from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import NO_QUARANTINE

P0 = Partition("windows", 0)


def run(error, **scripts):
    world = World()
    for end in range(3):
        world.produce("p", end)
    polls = [None, error]
    runner = StreamRunner(
        "pumps", lambda gives_up: world.stream(polls=polls, give_up=gives_up, **scripts), lambda: True
    )
    runner.open()
    runner.assign(frozenset([P0]), NO_QUARANTINE)
    runner.run()


def test_what_was_read_of_a_topic_that_is_gone_and_is_in_no_history_is_counted():
    with pytest.raises(Refused, match=r"^made anew\. Since the last checkpoint of pumps 3 windows are online"):
        run(Refused("made anew"))


def test_what_is_in_the_history_is_not():
    with pytest.raises(Refused, match=r"^made anew$"):
        run(Refused("made anew"), checkpoint_rows=1)


def test_of_what_passes_nothing_is_said_since_it_is_read_again():
    with pytest.raises(Unavailable, match=r"^away$"):
        run(Unavailable("away"))


def test_of_partitions_that_are_ordered_away_while_they_are_assigned_nothing_is_read():
    world = World()
    for partition in (0, 1):
        for end in range(3):
            world.produce("p", end, partition=partition)
    p1 = Partition("windows", 1)
    stream = world.stream()
    runner = StreamRunner("pumps", lambda _gives_up: stream, lambda: True)
    assign, orders = stream._source.assign, iter([lambda: runner.assign(frozenset([P0]), NO_QUARANTINE), runner.end])

    def assign_slowly(starts):
        next(orders)()  # it arrives meanwhile
        return assign(starts)

    stream._source.assign = assign_slowly
    runner.open()
    runner.assign(frozenset([P0, p1]), NO_QUARANTINE)
    runner.run()
    assert stream.counts.records == 0
    assert world.chains.parts == {}
    assert stream.held == {P0}


def test_what_is_ordered_is_read():
    world = World()
    world.produce("p", 0)
    stream = world.stream()
    runner = StreamRunner("pumps", lambda _gives_up: stream, lambda: True)
    poll = stream._source.poll

    def poll_once(*arguments):
        runner.end()
        return poll(*arguments)

    stream._source.poll = poll_once
    runner.open()
    runner.assign(frozenset([P0]), NO_QUARANTINE)
    runner.run()
    assert stream.counts.records == 1
    assert list(world.chains.parts) != []
