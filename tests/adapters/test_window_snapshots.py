"""Snapshots of observations, on a disk, in an object store and in memory."""

import numpy as np
import pytest

from undertow.adapters.memory_snapshots import MemoryForgetRequests, MemorySnapshots
from undertow.adapters.window_forgetting import FileForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Refused, Unavailable
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


def test_one_that_may_not_stay_is_replaced(snapshots):
    for content in (b"of another", b"ours", b"ours, too"):
        snapshots.write(READINGS, 7, content, stays=lambda there: there.startswith(b"ours"))
    assert [*snapshots.newest(READINGS, 7)] == [b"ours"]


def test_none_is_written_where_the_log_is_gone(tmp_path):
    with pytest.raises(Unavailable, match="is gone"):
        WindowSnapshots(tmp_path / "unmounted").write(READINGS, 7, b"bytes")


def test_those_that_are_to_be_changed_are_replaced_and_others_stay(snapshots):
    for after in (7, 11):
        snapshots.write(READINGS, after, b"old %d" % after)
    assert snapshots.rewrite(READINGS, lambda old: memoryview(b"new") if old == b"old 7" else None) == 1
    assert [*snapshots.newest(READINGS, 11)] == [b"old 11", b"new"]
    assert snapshots.rewrite(Partition("readings", 9), lambda _: b"none") == 0


def test_one_that_cannot_be_changed_is_deleted(snapshots):
    def refuse(_):
        message = "it is damaged"
        raise Refused(message)

    snapshots.write(READINGS, 7, b"old")
    assert snapshots.rewrite(READINGS, refuse) == 1
    assert [*snapshots.newest(READINGS, 7)] == []


def test_partitions_with_snapshots_are_listed_and_requests_are_none(tmp_path):
    snapshots, requests = WindowSnapshots(tmp_path), FileForgetRequests(tmp_path)
    assert snapshots.partitions() == []
    for index in (10, 2):
        snapshots.write(Partition("readings", index), 7, b"bytes")
    requests.ask(READINGS, np.zeros((1, 2), np.uint64))
    assert snapshots.partitions() == [Partition("readings", 2), Partition("readings", 10)]


@pytest.fixture(params=["memory", "disk", pytest.param("store", marks=pytest.mark.s3)])
def requests(request, tmp_path):
    if request.param == "memory":
        return MemoryForgetRequests()
    return FileForgetRequests(tmp_path if request.param == "disk" else request.getfixturevalue("store_root"))


def test_a_request_is_pending_until_it_is_fulfilled(requests):
    assert requests.pending() == []
    keys = np.array([[1, 1 << 63], [3, 4]], np.uint64)
    asked = [requests.ask(READINGS, keys), requests.ask(READINGS, keys[:1])]
    found = {one.name: one for one in requests.pending()}
    assert found.keys() == {one.name for one in asked}
    assert found[asked[0].name].keys.tolist() == keys.tolist()
    assert found[asked[0].name].partition == READINGS
    for _ in range(2):
        requests.fulfil(asked[0])
    assert [one.name for one in requests.pending()] == [asked[1].name]
