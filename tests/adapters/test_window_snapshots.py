"""Snapshots of observations, on a disk, in an object store and in memory."""

import pytest

from undertow.adapters.memory_snapshots import MemorySnapshots
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Unavailable
from undertow.schemas.records import Partition

READINGS = Partition("readings", 3)


@pytest.fixture(params=["memory", "disk", pytest.param("store", marks=pytest.mark.s3)])
def snapshots(request, tmp_path):
    if request.param == "memory":
        return MemorySnapshots()
    return WindowSnapshots(tmp_path if request.param == "disk" else request.getfixturevalue("store_root"))


def test_the_newest_up_to_an_offset_come_first_and_two_stay(snapshots):
    assert [*snapshots.newest(READINGS, 100)] == []
    for after in (7, 11, 20, 100):
        snapshots.write(READINGS, after, f"up to {after}".encode())
    snapshots.write(Partition("readings", 4), 12, b"another's")
    assert [*snapshots.newest(READINGS, 100)] == [b"up to 100", b"up to 20"]
    assert [*snapshots.newest(READINGS, 99)] == [b"up to 20"]
    assert [*snapshots.newest(READINGS, 19)] == []


def test_those_of_a_topic_that_was_there_before_are_not_in_the_way_of_the_new_one_s(snapshots):
    for after in (1_000, 1_100):
        snapshots.write(READINGS, after, b"of the old topic")
    for after in (7, 11, 20):
        snapshots.write(READINGS, after, f"up to {after}".encode())
    assert [*snapshots.newest(READINGS, 25)] == [b"up to 20", b"up to 11"]
    snapshots.write(READINGS, 1_200, b"up to 1200")
    snapshots.write(READINGS, 1_300, b"up to 1300")
    assert [*snapshots.newest(READINGS, 1_300)] == [b"up to 1300", b"up to 1200"]


def test_one_that_is_there_stays_as_it_is(snapshots):
    snapshots.write(READINGS, 7, b"first")
    snapshots.write(READINGS, 7, b"second")
    assert [*snapshots.newest(READINGS, 7)] == [b"first"]


def test_none_is_written_where_the_log_is_gone(tmp_path):
    with pytest.raises(Unavailable, match="is gone"):
        WindowSnapshots(tmp_path / "unmounted").write(READINGS, 7, b"bytes")
