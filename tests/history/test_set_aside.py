"""The chains of a topic that was made anew are set aside: where a rename does it, and object by object in a store."""

import numpy as np
import pytest
from click.testing import CliRunner

from tests.history.fold_world import GRACE_S, P0, P1, VIEW, World, upto
from undertow.adapters import offline_aside
from undertow.adapters.offline_aside import set_aside
from undertow.adapters.offline_chains import MOVING
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import no_rows
from undertow.adapters.offline_root import claim_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.records import Partition
from undertow.storage import at_once
from undertow.storage.store_path import StorePath
from undertow.stream.ports import ChainPart

OLD, NEW = 10, 9


@pytest.fixture(params=["disk", pytest.param("store", marks=pytest.mark.s3)])
def world(request, tmp_path, memory_clock):
    """Two chains, of which one is folded but for its last part and a second part after that."""
    world = World(tmp_path if request.param == "disk" else request.getfixturevalue("store_root"), memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
    world.maintain()
    world.publish(P0, 2)
    world.publish(P1, OLD)
    return world


def begin_anew(world):
    world.log = FileOfflineLog(world.root, VIEW, cluster_id="c", topic_id="t2", writer="test", clock=world.clock)
    for _ in range(3):
        world.publish(P0, 3)


def test_old_chains_stay_readable_and_are_folded_and_new_ones_begin(world):
    assert set_aside(world.home, "windows", "t")
    assert world.places() == upto(OLD, OLD)
    begin_anew(world)
    everything = sorted([*upto(OLD, OLD), *upto(NEW)])
    for _ in range(3):
        assert world.places() == everything
        assert world.maintain().faults == ()
        world.clock.advance(GRACE_S)
    assert world.places() == everything


def test_chains_of_a_topic_that_is_there_stay(world):
    with pytest.raises(Refused, match="to be of topic id other, found t;"):
        set_aside(world.home, "windows", "other")
    assert not set_aside(world.home, "elsewhere", "t")
    assert world.places() == upto(OLD, OLD)


def test_none_are_moved_onto_those_that_were_moved_before(world):
    set_aside(world.home, "windows", "t")
    world.log = world.owner()
    world.publish(Partition("windows", 2), 2)  # by one that still has the old id
    with pytest.raises(Refused, match="windows@t is there"):
        set_aside(world.home, "windows", "t")


@pytest.mark.s3
def test_killed_at_any_object_it_goes_on_and_meanwhile_nobody_takes_one_chain_for_two(
    store_root, memory_clock, monkeypatch
):
    world = World(store_root, memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
    world.maintain()
    left = [0]

    def counted(change):
        def change_or_die(*arguments, **options):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return change(*arguments, **options)

        return change_or_die

    monkeypatch.setattr(at_once, "REQUESTS", 1)
    kills = 0
    while True:
        left[0] = kills
        with monkeypatch.context() as patch:
            patch.setattr(offline_aside, "_copy", counted(offline_aside._copy))
            patch.setattr(StorePath, "unlink", counted(StorePath.unlink))
            try:
                assert set_aside(world.home, "windows", "t")
                break
            except KeyboardInterrupt:
                kills += 1
        with pytest.raises(Unavailable, match=r"being moved to windows@t.*undertow maintain --set-aside t$"):
            world.places()
        with pytest.raises(Unavailable, match="being moved"):
            world.maintain()
    assert kills > len([*(world.home / "windows@t").walk_objects()])
    assert not (world.home / MOVING).exists()
    assert not (world.home / "windows").exists()
    begin_anew(world)
    for _ in range(2):
        world.maintain()
        assert world.places() == sorted([*upto(8), *upto(NEW)])


@pytest.mark.s3
def test_a_chain_that_vanishes_while_it_is_listed_is_left_for_the_next_time(store_root, memory_clock, monkeypatch):
    world = World(store_root, memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
    world.maintain()
    world.clock.advance(GRACE_S)
    chains = world.chains()
    look = chains._look

    def vanish(folder):
        for path in folder.glob("*.parquet"):
            path.unlink()
        return look(folder)

    monkeypatch.setattr(chains, "_look", vanish)
    assert chains.look() == ([], [])


def test_the_command_moves_what_undertow_run_says_and_says_what_it_did(artifact, here, memory_clock, monkeypatch):
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", '["seed"]')
    view = read_manifest(artifact).view()
    World(here / ".undertow/offline", memory_clock)
    home = claim_folder(here / ".undertow/offline", view)
    none = CliRunner().invoke(main, ["maintain", "--set-aside", "t"])
    assert (none.exit_code, "none of topic id t; nothing was moved" in none.output) == (0, True), none.output
    log = FileOfflineLog(home.parent, view, cluster_id="c", topic_id="t", writer="test", clock=memory_clock)
    log.publish(ChainPart(partition=P0, first=0, next=1, embeddings=no_rows(view), offsets=np.empty(0, np.int64)))
    done = CliRunner().invoke(main, ["maintain", "--set-aside", "t"])
    assert (done.exit_code, "set aside as windows@t" in done.output) == (0, True), done.output
    assert [path.name for path in home.glob("windows*")] == ["windows@t"]
    wrong = CliRunner().invoke(main, ["maintain", "--set-aside", "t", "--every", "5m"])
    assert (wrong.exit_code, "leave one of them out" in wrong.output) == (2, True)
