"""A commit that was made though its reply was lost, which Delta Lake takes for another's: its files stay."""

import contextlib
import errno
import itertools

import pytest
from deltalake.exceptions import CommitFailedError

from tests.history.fold_world import GRACE_S, JOB, P0, World, places_in, upto
from tests.history.forget_world import in_store, on_disk
from tests.s3_line import Line
from tests.s3_server import BUCKET
from undertow.adapters import offline_table
from undertow.adapters.offline_history import table_files
from undertow.core.errors import Unavailable
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import StorePath


def in_table(world):
    with local_copies(table_files(world.home)) as files:
        return places_in(files)


class Lossy:
    """A table of Delta Lake whose next commit is made, and told as beaten by another."""

    def __init__(self, table, loses):
        self._table, self._loses = table, loses

    def __getattr__(self, name):
        return getattr(self._table, name)

    def create_write_transaction(self, *arguments, **options):
        self._table.create_write_transaction(*arguments, **options)
        if self._loses():
            message = "Concurrent transaction failed"
            raise CommitFailedError(message)


@pytest.fixture
def losing(monkeypatch):
    """Begin to lose the reply to the commits of these numbers, from the next one on."""

    def begin(*numbers):
        count = itertools.count()
        opened = offline_table.open_table
        for module in ("offline_table", "offline_forget"):
            monkeypatch.setattr(
                f"undertow.adapters.{module}.open_table",
                lambda root: Lossy(opened(root), lambda: next(count) in numbers),
            )

    return begin


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def world(request, tmp_path, memory_clock):
    if request.param == "disk":
        return on_disk(tmp_path, memory_clock)
    return in_store(request.getfixturevalue("store_root"), memory_clock, request.getfixturevalue("s3"))


def test_rows_that_were_folded_stay_and_are_not_folded_again(world, losing):
    world.backfill(0, 2)
    for _ in range(3):
        world.publish(P0, 2)
    losing(0, 1)
    done = world.maintain()
    assert (done.folded, done.rows, done.is_beaten) == (3, 6, False)
    assert in_table(world) == [*upto(4), (JOB, 0), (JOB, 1)]
    world.clock.advance(GRACE_S)
    world.maintain()
    assert world.places() == [*upto(6), (JOB, 0), (JOB, 1)]


def test_a_merged_file_stays(world, losing, monkeypatch):
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    for _ in range(3):
        world.publish(P0, 2)
        world.maintain()
    world.publish(P0, 2)
    losing(1)  # the commit after that of the fold
    assert world.maintain().compacted
    assert world.places() == upto(8)
    assert len(in_table(world)) == 6


@pytest.mark.parametrize("number", range(3))
def test_what_is_left_of_a_file_of_which_series_were_forgotten_stays(world, losing, number):
    world.fill()
    others = world.others("s1")
    losing(number)
    done = world.forget("s1", is_now=True)
    assert done.is_done
    assert world.rows() == others
    assert "s1" not in world.series()


def test_where_chains_cannot_be_listed_it_is_tried_again_the_next_time(world, monkeypatch):
    for _ in range(3):
        world.publish(P0, 2)

    def fail(_folder, _pattern):
        raise OSError(errno.EIO, "every reply to the listing was lost")

    with monkeypatch.context() as patched:
        patched.setattr(type(world.home), "glob", fail)
        with pytest.raises(Unavailable, match=r"could not be read .*every reply to the listing was lost"):
            world.maintain()
    assert world.maintain().rows == 4


@pytest.mark.s3
def test_where_a_store_loses_every_second_reply_every_row_is_there_once(s3, memory_clock, monkeypatch, store_root):
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    number = itertools.count()
    is_lossy = [False]
    line = Line(s3.port, lambda: "lose" if is_lossy[0] and next(number) % 2 else "pass")
    root = StorePath.parse(f"s3://{BUCKET}/{store_root.key}", s3.options(line.port))
    world = World(root, memory_clock)
    expected = 0
    for _ in range(3):
        for _ in range(2):
            world.publish(P0, 2)
            expected += 2
        is_lossy[0] = True
        with contextlib.suppress(Unavailable):
            world.maintain()
        is_lossy[0] = False
        assert world.places() == upto(expected)
        world.clock.advance(GRACE_S)
    assert world.maintain().faults == ()
    assert world.places() == upto(expected)
    line.close()
