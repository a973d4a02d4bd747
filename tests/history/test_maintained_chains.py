"""A chain whose parts were folded and deleted: it answers as before, and goes on when it lost its end as well."""

import itertools

import pytest

from tests.history.fold_world import BEGIN_US, GRACE_S, P0, P1, VIEW, World, part, upto
from undertow.adapters import offline_footers
from undertow.adapters.offline_chains import BEGUN, chains, count_parts, require_whole
from undertow.adapters.offline_folded import newest_mark
from undertow.adapters.offline_footers import folded_parts
from undertow.adapters.offline_log import latest_in
from undertow.adapters.offline_mend import accept_holes
from undertow.adapters.offline_parts import read_footer
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Refused, Unavailable
from undertow.stream.ports import ChainPart
from undertow.stream.record_marks import ChainEnd, Mark, RefusedRecord


def mark(offset):
    return Mark(offset=offset, epoch=1, digest=f"{offset:032x}")


def publish(world, first, after, *, lost=0, rows=True, refused=()):
    """Append a part of which the last `lost` offsets were lost."""
    some = part(P0, first, after - lost, rows=rows)
    world.log.publish(
        ChainPart(
            partition=P0,
            first=first,
            next=after,
            lost=lost,
            mark=mark(after - 1),
            created_us=BEGIN_US + after,
            embeddings=some.embeddings,
            offsets=some.offsets,
            refused=refused,
        )
    )


@pytest.fixture
def world(tmp_path, memory_clock):
    """A chain with gaps, parts without rows, and one place from which it was turned back."""
    world = World(tmp_path, memory_clock)
    world.log.end(P0)
    for first in range(0, 30, 3):
        publish(world, first, first + 3, lost=first % 2, rows=first != 12)
    world.log.turn_back(P0, ChainEnd(next=21, mark=mark(20)))
    for first in range(21, 40, 4):
        publish(world, first, first + 4, lost=2 * (first == 25))
    world.publish(P1, 3)
    return world


def fold_all(world):
    world.maintain(batch_bytes=9_000)
    world.clock.advance(GRACE_S)
    world.maintain()


def answers(world):
    owner = world.owner()
    whole = require_whole(world.home)
    return {
        "spans and what was lost": chains(world.home),
        "ends": [owner.end(partition) for partition in (P0, P1)],
        "latest": [owner.latest(P0), owner.latest(P1), latest_in(world.home)],
        "places with marks": [*owner.places(P0)],
        "verify": verify(world.root).faults,
        "check": [count_parts(folder, names) for folder, names in whole.items()],
    }


def test_a_chain_answers_the_same_before_and_after_its_parts_were_folded_and_deleted(world):
    before = answers(world)
    assert before["spans and what was lost"][0].lost == 5 + 2
    assert len(before["places with marks"]) == 16 - 3
    world.maintain()
    assert answers(world) == before
    world.clock.advance(GRACE_S)
    assert world.maintain().deleted == 15
    assert answers(world) == before


def test_it_answers_the_same_however_often_it_was_folded_of_which_few_files_are_left(tmp_path, memory_clock):
    folded, apart = (World(tmp_path / name, memory_clock) for name in ("folded", "apart"))
    for first in range(0, 32, 2):
        for world in (folded, apart):
            publish(world, first, first + 2, lost=first % 3)
        if first % 8 == 6:
            fold_all(folded)
    assert len(folded.parts()) == 1
    assert answers(folded) == answers(apart)
    assert len([*(folded.home / "windows/0/_folded").glob("*.footers.gz")]) < 5


REFUSED = (5, 6, 20, 39, 60)


def test_of_old_parts_runs_are_kept_which_tell_the_same_of_fewer_places(tmp_path, memory_clock, monkeypatch):
    monkeypatch.setattr(offline_footers, "FINE", 6)
    monkeypatch.setattr(offline_footers, "RUN", 4)
    folded, apart = (World(tmp_path / name, memory_clock) for name in ("folded", "apart"))
    for number in range(80):
        for world in (folded, apart):
            first = world.log.end(P0) or 0
            publish(
                world,
                first,
                first + 2,
                lost=int(number % 7 == 0),
                refused=(RefusedRecord(offset=first),) if number in REFUSED else (),
            )
            if number == 40:
                world.log.turn_back(P0, ChainEnd(next=first - 6, mark=mark(first - 7)))
        if number % 3 == 2:
            fold_all(folded)
    mine, all_of_them = answers(folded), answers(apart)
    refused = [[(one.next, one.refused) for one in w.log.places(P0) if one.refused] for w in (folded, apart)]
    assert refused[0] == refused[1]
    assert [len(at) for _, at in refused[0]] == [1] * 4, "of one the chain was turned back"
    few, places = (said.pop("places with marks") for said in (mine, all_of_them))
    assert mine == all_of_them
    rest = iter(places)
    assert all(place in rest for place in few)
    assert few[:6] == places[:6]
    kept = [*folded_parts(folded.home / "windows/0", newest_mark(folded.home / "windows/0").position)]
    assert sum(one.parts for one in kept) == 81 - len(folded.parts())
    assert len(kept) < 45
    assert max(one.parts for one in kept) == 4
    assert all(one.parts == 1 for one in kept if one.next < one.first)  # the place from which it was turned back


@pytest.mark.parametrize("do", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_footers_that_are_gone_or_damaged_are_told_by_verify_and_by_whoever_needs_them(world, do):
    fold_all(world)
    kept = [*(world.home / "windows/0/_folded").glob("*.footers.gz")]
    do(max(kept))
    (fault,) = verify(world.root).faults
    assert "restore it from a copy" in fault
    assert "_folded" in fault
    with pytest.raises(Refused, match="restore it from a copy"):
        chains(world.home)
    assert world.owner().end(P0) == 41  # a fleet goes on


def test_who_reads_footers_while_another_maintainer_merges_their_files_misses_none(world, monkeypatch):
    folder = world.home / "windows/0"
    names = [int(name[:20]) for name in world.parts()]
    monkeypatch.setattr(offline_footers, "_drop_covered", lambda _: None)
    for position in names[1:5]:
        offline_footers.keep_footers(folder, position)
    monkeypatch.undo()
    found = folded_parts(folder, names[4])
    seen = [next(found)]
    offline_footers.keep_footers(folder, names[-1])  # merges them, and deletes them
    seen += found
    assert [one.position for one in seen] == names[3::-1]
    assert [one.position for one in folded_parts(folder, names[-1])] == names[-2::-1]
    for one in folded_parts(folder, names[-1]):
        said = read_footer(folder / f"{one.position:020d}.parquet")
        assert (one.partition, one.topic_id, one.cluster_id) == (said.partition, said.topic_id, said.cluster_id)
        assert (one.first, one.next, one.lost, one.shift) == (said.first, said.next, said.lost, said.shift)
        assert one.mark == said.mark


@pytest.mark.parametrize(("keeps_begun", "noted"), [*itertools.product([True, False], repeat=2)])
def test_a_chain_that_lost_all_its_parts_is_told_and_goes_on_where_the_table_ends(
    tmp_path, memory_clock, keeps_begun, noted
):
    world = World(tmp_path, memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
        world.publish(P1, 3)
    world.maintain()
    if not noted:  # the newest of several: another maintainer stopped after its transaction
        world.publish(P0, 2)
        chains_of = world.chains()
        chains_of.note = lambda *_: None
        world.maintain(chains=chains_of)
    for name in world.parts():
        (world.home / "windows/0" / name).unlink()
    if not keeps_begun:  # as a message of earlier versions says
        for note in (world.home / BEGUN).rglob("*.0.begun"):
            note.unlink()
    for act in (world.places, lambda: require_whole(world.home), lambda: world.owner().end(P0)):
        with pytest.raises(Unavailable, match=r"lacks its last part.*--accept-lost"):
            act()
    assert "lacks its last part" in world.maintain().faults[0]
    ends = 6 if noted else 8
    assert latest_in(world.home) >= BEGIN_US + 11
    (line,) = accept_holes(world.home, VIEW)
    assert f"windows/0 goes on at offset {ends}, where the table of history ends" in line
    assert [*accept_holes(world.home, VIEW)] == []
    world.log = world.owner()
    assert world.log.end(P0) == ends
    assert world.places() == upto(ends, 12)
    world.publish(P0, 2)
    assert world.places() == upto(ends + 2, 12)
    assert [chain.next for chain in chains(world.home)] == [ends + 2, 12]
    assert verify(world.root).faults == ()
    fold_all(world)
    assert len(world.parts()) == 1
    assert world.places() == upto(ends + 2, 12)
    assert (
        read_footer(world.home / "windows/0" / world.parts()[0]).number
        == count_parts(world.home / "windows/0", world.parts()) - 1
    )


def test_a_chain_without_its_end_whose_table_is_of_an_older_copy_is_refused_rather_than_begun_early(world, tmp_path):
    fold_all(world)
    (world.home / "@table").rename(tmp_path / "aside")
    (world.home / "windows/0" / world.parts()[0]).unlink()
    with pytest.raises(Refused, match="lacks what was folded into it"):
        list(accept_holes(world.home, VIEW))


def test_the_first_part_after_what_was_folded_can_be_missing_and_be_accepted_as_lost(world):
    fold_all(world)
    publish(world, 41, 44)
    publish(world, 44, 46)
    (gone,) = (name for name in world.parts() if name == world.parts()[0])
    (world.home / "windows/0" / gone).unlink()
    with pytest.raises(Refused, match="windows/0 lacks offsets 37 to 40"):
        require_whole(world.home)
    (line,) = accept_holes(world.home, VIEW)
    assert "goes on without offsets 37 to 40" in line
    (chain, _) = chains(world.home)
    assert (chain.first, chain.next, chain.lost) == (0, 46, 5 + 2 + 4)
