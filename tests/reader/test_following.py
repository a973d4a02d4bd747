"""A reader follows the promoted space, tells when it changes, and never mixes two."""

import logging
import threading
from datetime import timedelta

import numpy as np
import pytest

import undertow
from tests.reader.conftest import FIRST, JUNE, JUNE_S, SECOND, ids

pytestmark = pytest.mark.redis


def test_a_promotion_is_followed_when_it_is_time_to_look_and_the_listener_hears_it_once(
    world, open_reader, memory_clock
):
    changes = []
    reader = open_reader(world.repo, look_every=timedelta(seconds=30), on_change=changes.append, monotonic=memory_clock)
    world.write(FIRST, ("s08", JUNE, 1))
    assert reader.get(ids("s08")).space == FIRST.space
    world.say({"har": world.text(SECOND)})
    world.write(SECOND, ("s08", JUNE, 2))
    assert reader.get(ids("s08")).space == FIRST.space
    assert changes == []
    memory_clock.advance(30)
    found = reader.get(ids("s08"))
    assert (found.space, found["gate"].tolist()) == (SECOND.space, [[2.0]])
    memory_clock.advance(30)
    reader.get(ids("s08"))
    assert changes == [
        undertow.SpaceChange(name="har", before=FIRST.view, after=SECOND.view, space=SECOND.space),
    ]


def test_a_pinned_space_stays_whatever_is_promoted(world, open_reader):
    world.say({"har": world.text(SECOND)})
    world.write(FIRST, ("s08", JUNE, 1))
    world.write(SECOND, ("s08", JUNE, 2))
    for pin in ({"space": "aaaa"}, {"space": FIRST.space}, {"space": FIRST.view}, {"name": FIRST.view}):
        assert open_reader(world.repo, **pin).get(ids("s08"))["gate"].tolist() == [[1.0]]
    assert open_reader(world.repo).get(ids("s08"))["gate"].tolist() == [[2.0]]


def test_a_space_that_is_not_kept_is_refused_with_those_that_are(world, open_reader):
    with pytest.raises(undertow.Refused, match=f"one space '12345678' of 'har', found 0 among: {FIRST.view}"):
        open_reader(world.repo, space="12345678").get(ids("s08"))


def test_a_name_that_is_not_served_is_refused(world, open_reader):
    with pytest.raises(undertow.Refused, match="does not say what 'nothing' of project"):
        open_reader(world.repo, name="nothing").get(ids("s08"))


def test_an_answer_has_rows_of_one_space_while_spaces_are_promoted_in_turns(world):
    wearers, numbers, spaces = [f"s{i}" for i in range(300)], {FIRST.space: 1.0, SECOND.space: 2.0}, set()
    for view in (FIRST, SECOND):
        world.write(view, *((wearer, JUNE, numbers[view.space]) for wearer in wearers))
    is_over = threading.Event()

    def promote_in_turns():
        while not is_over.is_set():
            for view in (SECOND, FIRST):
                world.say({"har": world.text(view)})

    thread = threading.Thread(target=promote_in_turns)
    thread.start()
    try:
        with undertow.Reader(world.repo, name="har", look_every=timedelta(0), now=lambda: JUNE_S) as reader:
            while len(spaces) < 2:
                found = reader.get(ids(*wearers))
                assert set(found["gate"][:, 0].tolist()) == {numbers[found.space]}
                spaces.add(found.space)
    finally:
        is_over.set()
        thread.join()


def test_a_record_that_is_lost_is_told_once_and_the_reader_goes_on(world, open_reader, caplog):
    world.write(FIRST, ("s08", JUNE, 1))
    reader = open_reader(world.repo, look_every=timedelta(0))
    reader.get(ids("s08"))
    world.say({})
    with caplog.at_level(logging.WARNING):
        assert [reader.get(ids("s08")).found.all() for _ in range(3)] == [True] * 3
    assert caplog.text.count("no longer says what har is") == 1
    world.say({"har": world.text(SECOND)})
    assert reader.get(ids("s08")).space == SECOND.space


@pytest.mark.parametrize("text", ["{}", "[", '{"format": 2}', '{"format": 1}', "null"])
def test_a_record_that_cannot_be_read_is_refused(world, open_reader, text):
    world.say({"har": text})
    with pytest.raises(undertow.Refused, match="cannot be read"):
        open_reader(world.repo).get(ids("s08"))


def test_a_listener_that_fails_fails_one_question_and_the_next_is_answered(world, open_reader):
    world.write(FIRST, ("s08", JUNE, 1))

    def fail(change):
        raise RuntimeError(change.after)

    reader = open_reader(world.repo, look_every=timedelta(0), on_change=fail)
    reader.get(ids("s08"))
    world.say({"har": world.text(SECOND)})
    with pytest.raises(RuntimeError, match=SECOND.view):
        reader.get(ids("s08"))
    found = reader.get(ids("s08"))
    assert (found.space, np.isnan(found.vectors).all()) == (SECOND.space, True)
