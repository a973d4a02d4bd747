"""Snapshots of what a stream holds of raw observations: which is used, which is not, and which makes way."""

import pytest

from tests.stream.test_observed_crashes import PARTITIONS, Observed, reads_to_the_end, steady, told
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.stream.events import SnapshotFailed, Warmed


@pytest.fixture
def observed(world, tmp_path):
    return Observed(world, WindowSnapshots(tmp_path))


def test_a_snapshot_that_is_damaged_or_of_another_specification_is_not_used(observed, tmp_path):
    steady(observed, 30)
    assert reads_to_the_end(observed.stream())
    (path,) = tmp_path.glob("@windows/windows/0/*.arrow")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    steady(observed, 4)
    assert reads_to_the_end(observed.stream())
    assert "a snapshot is not used: expected" in told(observed, SnapshotFailed)[0].error
    assert observed.rows(PARTITIONS[0]) == observed.expected(PARTITIONS[0])


def test_a_snapshot_of_records_that_the_broker_has_lost_is_not_used(observed):
    steady(observed, 30)
    assert reads_to_the_end(observed.stream())
    observed.world.broker.truncate(PARTITIONS[0], 18)
    del observed.appended[PARTITIONS[0]][18:]
    steady(observed, 20)
    last = observed.stream()
    last.assign(PARTITIONS)
    while last.step():
        pass
    last.checkpoint()
    newest = {row[:3]: row for row in observed.rows(PARTITIONS[0])}
    assert [newest[row[:3]] for row in observed.expected(PARTITIONS[0])] == observed.expected(PARTITIONS[0])


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_snapshot_takes_the_place_of_one_of_lost_records_or_of_damaged_bytes(observed, tmp_path, is_damaged):
    steady(observed, 30)
    assert reads_to_the_end(observed.stream())
    if is_damaged:
        (tmp_path / "@windows/windows/0" / f"{30:020d}.arrow").write_bytes(b"damaged, and longer than a digest")
    observed.world.broker.truncate(PARTITIONS[0], 18)
    del observed.appended[PARTITIONS[0]][18:]
    for _ in range(12):
        observed.produce(0, [("c", 0, 0)])
    assert reads_to_the_end(observed.stream())
    warmed = len(told(observed, Warmed))
    steady(observed, 2)
    assert reads_to_the_end(observed.stream())
    assert len(told(observed, Warmed)) == warmed


def test_two_snapshots_of_a_partition_stay(observed, tmp_path):
    for _ in range(5):
        steady(observed, 4)
        assert reads_to_the_end(observed.stream())
    assert len([*tmp_path.glob("@windows/windows/0/*")]) == 2
