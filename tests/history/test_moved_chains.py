"""A chain that is moved aside while it is folded, and another begun in its place, as when a topic was made anew."""

import pytest

from tests.history.fold_world import GRACE_S, P0, VIEW, World, upto
from undertow.adapters import offline_fold, offline_footers, offline_table
from undertow.adapters.offline_log import FileOfflineLog
from undertow.core.errors import Unavailable

OLD, NEW = 10, 21
"""Rows of the chain that is moved, and of the one that takes its place."""


@pytest.fixture
def world(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    for _ in range(5):
        world.publish(P0, 2)
    return world


def begin_anew(world):
    """Move the chain as `undertow run` says, and begin another, whose parts have some names of the first's."""
    (world.home / "windows").rename(world.home / "windows@t")
    world.log = FileOfflineLog(world.root, VIEW, cluster_id="c", topic_id="t2", writer="test", clock=world.clock)
    for _ in range(7):
        world.publish(P0, 3)


def everything_is_there_once(world):
    assert world.places() == sorted([*upto(OLD), *upto(NEW)])
    for _ in range(2):
        assert world.maintain().faults == ()
        assert world.places() == sorted([*upto(OLD), *upto(NEW)])
        world.clock.advance(GRACE_S)
    world.maintain()
    assert world.places() == sorted([*upto(OLD), *upto(NEW)])
    assert len(world.parts(P0)) == 1
    owner = FileOfflineLog(world.root, VIEW, cluster_id="c", topic_id="t2", writer="test", clock=world.clock)
    assert owner.end(P0) == NEW


@pytest.mark.parametrize(
    ("module", "point"),
    [
        (offline_footers, "after_fold_footers"),
        (offline_table, "after_fold_files"),
        (offline_table, "after_fold_commit"),
        (offline_fold, "after_fold_delete"),
    ],
)
def test_nothing_is_noted_or_deleted_in_a_chain_that_took_the_place_of_one_meanwhile(world, monkeypatch, module, point):
    if point == "after_fold_delete":
        world.maintain()
        world.clock.advance(GRACE_S)
    moved = []

    def hit(at):
        if at == point and not moved:
            moved.append(at)
            begin_anew(world)

    with monkeypatch.context() as patch:
        patch.setattr(module, "hit_failpoint", hit)
        with pytest.raises(Unavailable, match="it will be tried again"):
            world.maintain()
    everything_is_there_once(world)


def test_no_row_is_read_from_a_chain_that_took_the_place_of_one_before_it_was_read(world):
    chains = world.chains()
    (chain,), _ = chains.look()
    begin_anew(world)
    with pytest.raises(Unavailable, match="moved while it was folded"):
        chains.read(chain, [6])  # a part of either chain is there
    everything_is_there_once(world)
