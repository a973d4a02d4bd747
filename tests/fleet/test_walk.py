"""What the loop of one stream says when it ends over what cannot be mended: which rows are in no history."""

import pytest

from tests.stream.conftest import World
from undertow.core.errors import Refused, Unavailable
from undertow.fleet.walk import Walk
from undertow.schemas.records import Partition
from undertow.stream.care import NO_CARE

P0 = Partition("windows", 0)


def run(error, **scripts):
    world = World()
    for end in range(3):
        world.produce("p", end)
    polls = [None, error]
    walk = Walk("pumps", lambda gives_up: world.stream(polls=polls, give_up=gives_up, **scripts), lambda: True)
    walk.open()
    walk.assign(frozenset([P0]), NO_CARE)
    walk.run()


def test_what_was_read_of_a_topic_that_is_gone_and_is_in_no_history_is_counted():
    with pytest.raises(Refused, match=r"^made anew\. Since the last checkpoint of pumps 3 windows are online"):
        run(Refused("made anew"))


def test_what_is_in_the_history_is_not():
    with pytest.raises(Refused, match=r"^made anew$"):
        run(Refused("made anew"), checkpoint_rows=1)


def test_of_what_passes_nothing_is_said_since_it_is_read_again():
    with pytest.raises(Unavailable, match=r"^away$"):
        run(Unavailable("away"))
