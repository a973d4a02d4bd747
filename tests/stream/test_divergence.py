"""A broker that loses its last records and gives their offsets to others: nothing that it has is passed over."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.core.errors import Diverged, Refused
from undertow.schemas.records import Partition
from undertow.stream.divergence import newest
from undertow.stream.events import TurnedBack
from undertow.stream.record_marks import ChainEnd, Mark

P0 = Partition("windows", 0)


def read(stream, times=12):
    """Step as a replica does: what has to be looked at again is given away, and asked for again."""
    stream.assign([P0])
    for _ in range(times):
        try:
            stream.step()
        except Diverged:
            stream.assign(())
            stream.assign([P0])
    stream.checkpoint()


def embedded(world):
    """The flows of all rows, with their offsets."""
    return [
        (offset, flow)
        for part in world.chains.parts.get(P0, {}).values()
        for offset, flow in zip(
            part.offsets.tolist(), part.embeddings.features["embedding"][:, 0].tolist(), strict=True
        )
    ]


def there(world):
    """The same of all records that the broker has."""
    return [
        (offset, float(json.loads(one.value)["past"]["flow"][0]))
        for offset, one in world.broker.log(P0).records.items()
    ]


def produce(world, first, count):
    for number in range(first, first + count):
        world.produce("p", number)


def test_a_successor_goes_back_to_where_chain_and_broker_last_agree(world):
    events = []
    produce(world, 1, 4)
    first = world.stream(max_batch=2)
    first.assign([P0])
    for _ in range(3):
        first.step()
        first.checkpoint()
    world.broker.truncate(P0, 3)
    produce(world, 100, 7)
    read(world.stream(tell=events.append))
    assert set(there(world)) <= set(embedded(world))
    (turned,) = [event for event in events if isinstance(event, TurnedBack)]
    assert (turned.partition, turned.first, turned.next, turned.last.offset) == (P0, 2, 4, 3)
    assert world.broker.committed[P0] == 10
    quiet = []
    read(world.stream(tell=quiet.append))
    assert not any(isinstance(event, TurnedBack) for event in quiet)


def test_a_reader_whose_position_is_gone_looks_again_where_to_read(world):
    events = []
    produce(world, 1, 6)
    stream = world.stream(tell=events.append)
    read(stream)
    world.broker.truncate(P0, 0)
    read(stream)
    produce(world, 50, 3)
    read(stream)
    assert set(there(world)) <= set(embedded(world))
    assert [(event.first, event.next) for event in events if isinstance(event, TurnedBack)] == [(0, 6)]


def test_without_marks_a_position_beyond_the_end_is_refused_as_before(world):
    produce(world, 1, 6)
    stream = world.stream()
    read(stream)
    for name, part in world.chains.parts[P0].items():
        object.__setattr__(part, "mark", None)
        assert name == 0
    world.broker.truncate(P0, 2)
    with pytest.raises(Refused, match="from offset 6 on, but it ends at 2"):
        read(world.stream())


def test_retention_that_has_deleted_the_last_record_is_no_divergence(world):
    events = []
    produce(world, 1, 6)
    read(world.stream())
    produce(world, 7, 4)
    world.broker.retain(P0, 8)
    read(world.stream(tell=events.append))
    assert {(8, 9.0), (9, 10.0)} <= set(embedded(world))
    assert not any(isinstance(event, TurnedBack) for event in events)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("lose"), st.integers(0, 12)),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("replace"), st.integers(1, 3)),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(acts=acts)
def test_whatever_a_broker_loses_all_that_it_has_at_the_end_is_embedded(new_world, acts):
    world, number = new_world(), 1
    stream = world.stream(max_batch=2)
    for act, count in acts:
        if act == "append":
            produce(world, number, count)
            number += count
        elif act == "lose":
            world.broker.truncate(P0, max(0, world.broker.log(P0).end - count))
        else:
            stream = world.stream(max_batch=2) if act == "replace" else stream
            read(stream, times=count)
    read(world.stream(max_batch=2), times=80)
    assert set(there(world)) <= set(embedded(world))


@given(agreeing=st.integers(0, 40), lost=st.integers(1, 40))
def test_the_newest_place_that_agrees_is_found_in_few_questions(agreeing, lost):
    places = [ChainEnd(next=100 - i, mark=Mark(offset=99 - i, epoch=0, digest="")) for i in range(lost + agreeing)]
    asked = []

    def agrees(place):
        asked.append(place)
        return 100 - place.next >= lost

    assert newest(places, agrees) == (lost if agreeing else None)
    assert len(asked) <= 14
