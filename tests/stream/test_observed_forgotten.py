"""Series that are to be forgotten are let go of by the replica that reads them, and are in no snapshot after that."""

import numpy as np
import pytest

from tests.stream.test_observed_crashes import PARTITIONS, Observed, steady, told
from undertow.adapters.memory_snapshots import MemorySnapshots
from undertow.observations.held_forgetting import has_any
from undertow.observations.series_keys import keys_of
from undertow.stream.events import SeriesForgotten, Warmed
from undertow.stream.forget_watch import LOOK_S


@pytest.fixture
def observed(world):
    return Observed(world, MemorySnapshots())


def keys(*sites):
    return keys_of({"site": np.array(sites, object)}, [0] * len(sites))


def test_series_that_are_to_be_forgotten_are_let_go_of_and_are_in_no_snapshot_and_a_successor_has_them_not(observed):
    steady(observed, 30)
    stream = observed.stream()
    stream.assign(PARTITIONS)
    while stream.step():
        pass
    stream.checkpoint()
    observed.requests.ask(PARTITIONS[0], keys("a0"))
    observed.requests.ask(PARTITIONS[1], keys("a0"))  # of which nothing was read
    while observed.requests.pending():
        observed.world.now += LOOK_S
        stream.step()
    assert [(one.partition.index, one.series) for one in told(observed, SeriesForgotten)] == [(0, 1), (1, 0)]
    assert stream._source.observed.by_partition == {PARTITIONS[0]: 1, PARTITIONS[1]: 0}
    contents = [*observed.snapshots.newest(PARTITIONS[0], 1_000)]
    assert [has_any(content, keys("a0")) for content in contents] == [False] * len(contents) != []
    assert all(has_any(content, keys("b0")) for content in contents)
    successor = observed.stream()
    successor.assign(PARTITIONS)
    assert successor._source.observed.by_partition == {PARTITIONS[0]: 1, PARTITIONS[1]: 0}
    assert told(observed, Warmed) == []


def test_a_copy_that_waits_for_its_checkpoint_leaves_no_forgotten_series_behind(observed):
    steady(observed, 30)
    stream = observed.stream()
    stream.assign(PARTITIONS)
    stream.step()  # copied, and not durable
    observed.requests.ask(PARTITIONS[0], keys("a0", "b0"))
    while not told(observed, SeriesForgotten):
        observed.world.now += LOOK_S
        stream._source.poll(0.0)
    stream.checkpoint()
    stream.close()
    contents = [*observed.snapshots.newest(PARTITIONS[0], 1_000)]
    assert [has_any(content, keys("a0", "b0")) for content in contents] == [False] * len(contents) != []
    assert observed.requests.pending() == []
