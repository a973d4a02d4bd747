"""A log whose folder goes away under two running streams: they wait, say so, and nothing is written in its place.

A rename stands for the disk that is not mounted for a while: a mount would need root.
"""

import pytest

from tests.stream.conftest import embed
from undertow.adapters.memory_source import MemorySource
from undertow.adapters.memory_stores import MemoryOnline
from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.schemas.contract import IdColumn
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.checkpoint import Limits
from undertow.stream.events import Retrying
from undertow.stream.loop import Stream

VIEW = SpaceView(
    name="pumps", space="0" * 64, series=(IdColumn(name="pump", type="string"),), features=(("embedding", 2),)
)
HALF = 100
GOES = {"the log": ".", "its view": VIEW.view, "a topic": f"{VIEW.view}/windows", "a chain": f"{VIEW.view}/windows/0"}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "mount" / "log"
    make_log(root)
    claim_folder(root, VIEW)
    return root


@pytest.fixture
def open_stream(world, root):
    def open_stream(partition, *, wait, tell):
        stream = Stream(
            source=MemorySource(world.broker, world.decode),
            embed=embed,
            online=MemoryOnline(world.online),
            offline=FileOfflineLog(root, VIEW, cluster_id="c", topic_id="t", writer="", clock=lambda: world.now),
            dead_letters=world.dead_letters,
            limits=Limits(checkpoint_seconds=2.0),
            clock=lambda: world.now,
            wait=wait,
            jitter=lambda: 1.0,
            tell=tell,
        )
        stream.assign([Partition("windows", partition)])
        return stream

    return open_stream


@pytest.mark.parametrize("goes", GOES)
def test_two_streams_wait_for_a_log_that_is_away_and_all_600_rows_are_in_its_chains(
    world, root, tmp_path, open_stream, goes
):
    place, aside, told, waits = root / GOES[goes], tmp_path / "aside", [], []

    def come_back(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            assert not place.exists()  # nobody has made anything in its place
            assert "is gone" in next(event.error for event in told if isinstance(event, Retrying))
            aside.rename(place)

    streams = [open_stream(partition, wait=come_back, tell=told.append) for partition in (0, 1)]
    for period in range(3):
        for partition in (0, 1):
            for n in range(HALF):
                world.produce(f"s{n % 7}", 1_000_000 + period * HALF + n, partition=partition)
        told.clear()
        if period == 1:
            place.rename(aside)
        for stream in streams:
            while stream.step():
                pass
            stream.checkpoint()
    assert len(waits) == 3
    assert [chain.next for chain in chains(root / VIEW.view)] == [3 * HALF, 3 * HALF]
    assert read_rows(root / VIEW.view).num_rows == 600
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("goes", ["a topic", "a chain"])
def test_a_successor_waits_too_and_goes_on_where_the_chain_ended(world, root, tmp_path, open_stream, goes):
    place, aside, told = root / GOES[goes], tmp_path / "aside", []
    for n in range(HALF):
        world.produce("s", 1_000_000 + n)
    first = open_stream(0, wait=None, tell=told.append)
    while first.step():
        pass
    first.checkpoint()
    first.close()
    told.clear()

    waits = []

    def come_back(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            aside.rename(place)

    place.rename(aside)
    second = open_stream(0, wait=come_back, tell=told.append)
    (retrying,) = (event for event in told if isinstance(event, Retrying))
    assert f"{VIEW.view}/windows/0 is gone" in retrying.error
    assert second.ends[Partition("windows", 0)] == (HALF, HALF)
    second.close()
