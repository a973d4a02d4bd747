"""Records that hold many windows: each lands under its record's offset, and a record is refused at most once."""

import math

import pytest

from undertow.adapters.memory_source import Crash
from undertow.schemas.records import Partition

ZERO = Partition("windows", 0)
POISON = 1313.0  # the model of these tests fails on it


def offline_keys(world) -> list[tuple[str, int]]:
    parts = world.chains.parts[ZERO]
    batches = [parts[first].embeddings for first in sorted(parts)]
    return [
        (str(pump), int(end))
        for batch in batches
        for pump, end in zip(batch.series["pump"], batch.event_us, strict=True)
    ]


def run(world, **script) -> None:
    stream = world.stream(**script)
    stream.assign([ZERO])
    stream.step()
    stream.checkpoint()


def test_all_windows_of_a_record_are_written_under_its_offset_and_the_chain_moves_by_records(world):
    world.produce_many(("a", 1, 0.5), ("b", 1, 0.5), ("a", 2, 0.5))
    world.produce_many(("c", 1, 0.5))
    run(world)
    assert world.offline_offsets() == [0, 0, 0, 1]
    assert offline_keys(world) == [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    assert world.online["a",].event_us == 2
    assert world.broker.committed == {ZERO: 2}


@pytest.mark.parametrize("script", ["writes", "publishes", "commits"])
def test_after_a_crash_anywhere_each_window_is_in_the_chain_once(world, script):
    world.produce_many(("a", 1, 0.5), ("b", 1, 0.5), ("a", 2, 0.5))
    with pytest.raises(Crash):
        run(world, **{script: [Crash()]})
    world.produce_many(("c", 1, 0.5))
    run(world)
    assert offline_keys(world) == [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    assert world.chains.parts[ZERO][max(world.chains.parts[ZERO])].next == 2


def test_bad_windows_of_a_record_make_one_dead_letter_and_the_others_land(world):
    world.produce_many(("a", 1, math.nan), ("b", 1, POISON), ("c", 1, 0.5), ("d", 1, POISON))
    run(world)
    assert offline_keys(world) == [("c", 1)]
    (letter,) = world.dead_letters.rejects
    assert letter.reason == "number"
    assert letter.detail.startswith("row 0: past.flow[1]: expected a finite number")
    assert letter.detail.endswith("; thirteen; thirteen")


def test_a_mended_record_that_is_sent_again_brings_what_was_missing_and_changes_nothing_else(world):
    world.produce_many(("a", 1, math.nan), ("b", 1, 0.5))
    run(world)
    before = world.online["b",].features["embedding"].tolist()
    world.produce_many(("a", 1, 0.5), ("b", 1, 0.5))
    run(world)
    assert world.online["a",].event_us == 1
    assert world.online["b",].features["embedding"].tolist() == before
    assert world.offline_offsets() == [0, 1, 1]
    assert len(set(offline_keys(world))) == 2  # readers of the log keep the newest row of a key
