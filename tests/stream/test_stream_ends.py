"""Where a stream begins and how it lets go: a chain that cannot be read yet, and parts that do not close."""

import pytest

from undertow.adapters.memory_source import MemoryBroker, MemorySource
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline
from undertow.core.errors import Unavailable
from undertow.schemas.records import Partition
from undertow.stream.checkpoint import Limits
from undertow.stream.events import Closed, Retrying
from undertow.stream.loop import Stream

ZERO = Partition("windows", 0)


def test_a_chain_that_cannot_be_read_is_tried_again_and_what_was_read_goes_on(world):
    told = []
    world.chains.parts.clear()
    stream = world.stream(ends=[Unavailable("the disk is away"), Unavailable("the disk is away")], tell=told.append)
    stream.assign([ZERO])
    assert stream.held == {ZERO}
    assert len(world.waited) == stream.counts.retries == 2
    assert [event.error for event in told if isinstance(event, Retrying)] == ["the disk is away"]
    assert stream.retrying.blocked is None


def test_giving_up_on_a_chain_that_cannot_be_read_says_what_it_was(world):
    stream = world.stream(ends=[Unavailable("the disk is away")], give_up=lambda: True)
    with pytest.raises(Unavailable, match="the disk is away"):
        stream.assign([ZERO])


@pytest.mark.parametrize("broken", [{"source"}, {"online", "dead_letters"}, {"source", "online", "dead_letters"}])
def test_a_part_that_does_not_close_keeps_none_of_the_others_open(broken):
    closed, told = [], []

    def named(name, kind, *args, **options):
        """A part of this kind that notes when it is closed, and raises where it is a broken one."""

        def close(_self):
            closed.append(name)
            if name in broken:
                raise OSError(name)

        return type(name, (kind,), {"close": close})(*args, **options)

    stream = Stream(
        source=named("source", MemorySource, MemoryBroker(), decode=None),
        embed=None,
        online=named("online", MemoryOnline),
        offline=MemoryOfflineLog(MemoryChains()),
        dead_letters=named("dead_letters", MemoryDeadLetters),
        limits=Limits(checkpoint_seconds=2.0),
        tell=told.append,
    )
    with pytest.raises(OSError, match="|".join(broken)) as raised:
        stream.close()
    assert closed == ["source", "online", "dead_letters"]
    first, *others = [name for name in closed if name in broken]
    assert str(raised.value) == first
    assert getattr(raised.value, "__notes__", []) == [f"and then: OSError: {name}" for name in others]
    assert told == [Closed()]
