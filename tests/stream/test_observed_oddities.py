"""What a stream of observations must bear: odd clocks of producers, stores that are away, many rows of one series."""

import json

import pytest

from tests.stream.test_observed_crashes import BASE_US, PARTITIONS, TIME, Observed, reads_to_the_end, steady, told
from undertow.adapters.memory_snapshots import MemorySnapshots
from undertow.core.errors import Unavailable
from undertow.stream.events import SnapshotFailed, Snapshotted


class Failing(MemorySnapshots):
    """Snapshots whose first writes fail."""

    def __init__(self, *errors):
        super().__init__()
        self.errors = [*errors]

    def write(self, partition, after, content, **given):
        if self.errors:
            raise self.errors.pop(0)
        super().write(partition, after, content, **given)


@pytest.mark.parametrize("appended_us", [BASE_US * 1_000, 2**63 - 1_000, (2**63 - 1) * 1_000, -1_000], ids=str)
@pytest.mark.parametrize("time_us", [BASE_US, 7], ids=["a row that is taken", "a row that is refused"])
def test_a_record_s_own_time_may_be_any_number(world, appended_us, time_us):
    observed = Observed(world, MemorySnapshots())
    steady(observed, 3)
    row = json.dumps([{"site": "c0", TIME: time_us, "flow": 1.0}]).encode()
    world.broker.append(PARTITIONS[0], row, appended_us=appended_us)
    assert reads_to_the_end(observed.stream())


@pytest.mark.parametrize("error", [Unavailable("the store is away"), ValueError("unforeseen")], ids=["away", "other"])
def test_a_snapshot_that_failed_is_told_of_and_made_again_though_nothing_new_comes(world, error):
    observed = Observed(world, Failing(error), every_s=5.0)
    steady(observed, 6)
    stream = observed.stream()
    stream.assign(PARTITIONS[:1])
    while stream.step():
        pass
    observed.world.now += 6
    stream._source.poll(0.0)
    stream.checkpoint()
    while not told(observed, SnapshotFailed):
        pass
    assert str(error) in told(observed, SnapshotFailed)[0].error
    stream.close()
    assert [one.partition for one in told(observed, Snapshotted)] == PARTITIONS[:1]
    assert [*observed.snapshots.contents[PARTITIONS[0]]] == [6]  # everything before this offset is in it
