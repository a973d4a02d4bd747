"""Two live fleets by mistake on one topic and group: refused, and where it was forced still harmless to readers."""

import numpy as np
import pytest

from tests.fleet.live import assert_all_is_there_once, offline_rows, running, wait_until, with_fleet
from undertow.core.errors import Refused
from undertow.fleet.launch import start
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

TURNS, OF_A_TURN = 8, 500


def durable(settings):
    """How many rows the offline log has; none before its first part."""
    try:
        return len(offline_rows(settings))
    except Refused:
        return 0


@pytest.mark.timeout(400)
def test_two_live_fleets_forced_on_one_topic_and_group_show_each_key_once(make_place, make_windows, packed):
    windows = make_windows(TURNS * OF_A_TURN, pumps=50)
    place = make_place(partitions=2)
    one = with_fleet(place.settings, name="one")
    other = with_fleet(place.settings, name="other")
    with running(one) as first:
        with pytest.raises(Refused, match="fleet 'one' reads this topic under this group already"), running(other):
            pass
        own_group = other.model_copy(update={"kafka": other.kafka.model_copy(update={"group": "own"})})
        with pytest.raises(
            Refused, match=r"fleet 'one' writes this topic's log in \S+pumps__\w+ already.*offline.path"
        ):
            start(stream_recipe(own_group))
        with running(other, force=True) as second:
            for fleet in (first, second):
                wait_until(fleet, lambda s: sum(len(replica.held) for replica in s.replicas) == 2)
            for turn in range(TURNS):
                place.produce(windows.take(np.arange(turn * OF_A_TURN, (turn + 1) * OF_A_TURN)), partitions=2)
                # Both embed what is new, and one of them finds that the other was first to make it durable.
                wait_until(first, lambda _, expected=(turn + 1) * OF_A_TURN: durable(one) >= expected)
            moves = (
                wait_until(first, lambda s: s.lag == 0).failovers + wait_until(second, lambda s: s.lag == 0).failovers
            )
            assert moves > 0, "neither has ever met the other"

    assert_all_is_there_once(one, windows, packed.reference(windows))
