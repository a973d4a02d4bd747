"""What every offline log promises: one linear chain for each partition, whoever appends and whenever he wakes up."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from tests.s3_server import BUCKET
from undertow.adapters.memory_stores import MemoryChains, MemoryOfflineLog
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import claim_folder
from undertow.core.errors import Replaced, Unavailable
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart
from undertow.stream.record_marks import ChainEnd, Mark, RefusedRecord

SPACE = "c" * 64
VIEW = SpaceView(name="v", space=SPACE, series=(IdColumn(name="key", type="integer"),), features=(("f", 2),))
P0, P1 = Partition("windows", 0), Partition("windows", 1)


def part(first, after, *, partition=P0, rows=1, lost=0, created_us=0, mark=None):
    return ChainPart(
        partition=partition,
        first=first,
        next=after,
        lost=lost,
        created_us=created_us,
        mark=mark,
        offsets=np.full(rows, first),
        embeddings=EmbeddingBatch(
            space=SPACE,
            series={"key": np.zeros(rows, np.int64)},
            event_us=np.arange(rows),
            created_us=np.arange(rows),
            features={"f": np.zeros((rows, 2), np.float32)},
        ),
    )


def mark(offset):
    return Mark(offset=offset, epoch=1, digest=f"{offset:032x}")


@pytest.fixture(params=["file", "memory", pytest.param("store", marks=pytest.mark.s3)])
def open_log(request, tmp_path, memory_clock):
    """Each call is another owner of the same chains."""
    if request.param == "memory":
        chains = MemoryChains()
        return lambda: MemoryOfflineLog(chains)
    root = request.getfixturevalue("store_root") if request.param == "store" else tmp_path
    claim_folder(root, VIEW)
    return lambda: FileOfflineLog(root, VIEW, cluster_id="c", topic_id="t", writer="test", clock=memory_clock)


@pytest.fixture
def hidden(request, open_log, tmp_path):
    """Take the chains away for a while, as a disk that is not mounted does."""

    @contextlib.contextmanager
    def hide():
        log = open_log()
        if isinstance(log, MemoryOfflineLog):
            parts, log.chains.parts = log.chains.parts, {}
            yield
            log.chains.parts = parts
        else:
            root = tmp_path
            if request.node.callspec.params["open_log"] == "store":
                store = request.getfixturevalue("store_root")
                root = request.getfixturevalue("s3").folder / BUCKET / store.key
            (root / VIEW.view / "windows").rename(root / "aside")
            yield
            (root / "aside").rename(root / VIEW.view / "windows")

    return hide


class TestOfflineLog:
    def test_an_empty_chain_has_no_end(self, open_log):
        assert open_log().end(P0) is None

    def test_a_chain_ends_where_its_last_part_does(self, open_log):
        log = open_log()
        log.publish(part(5, 9))
        log.publish(part(9, 12))
        assert log.end(P0) == 12
        assert open_log().end(P0) == 12

    def test_the_chain_of_one_partition_is_not_that_of_another(self, open_log):
        log = open_log()
        log.publish(part(5, 9))
        log.publish(part(2, 4, partition=P1))
        assert (log.end(P0), log.end(P1)) == (9, 4)

    def test_a_part_without_rows_moves_the_chain(self, open_log):
        log = open_log()
        log.publish(part(0, 3, rows=0))
        assert log.end(P0) == 3

    def test_a_part_may_reach_over_offsets_that_retention_deleted(self, open_log):
        log = open_log()
        log.publish(part(0, 3))
        log.publish(part(3, 50, lost=40))
        assert log.end(P0) == 50

    def test_it_tells_the_order_that_a_chain_ends_with_of_refused_records_too(self, open_log):
        log = open_log()
        assert (log.end(P0), log.latest(P0)) == (None, 0)
        log.publish(part(0, 3, created_us=640))
        log.publish(part(2, 4, partition=P1, created_us=10**6))
        assert log.latest(P0) == 640
        log.publish(part(3, 5, rows=0, created_us=704))
        assert log.latest(P0) == 704
        again = open_log()
        assert (again.end(P0), again.latest(P0)) == (5, 704)
        assert (again.end(P1), again.latest(P1)) == (4, 10**6)

    def test_an_owner_who_comes_second_at_a_place_has_been_replaced(self, open_log):
        zombie, successor = open_log(), open_log()
        zombie.publish(part(0, 3))
        assert successor.end(P0) == 3
        successor.publish(part(3, 6))
        with pytest.raises(Replaced):
            zombie.publish(part(3, 9))
        assert successor.end(P0) == 6

    def test_an_owner_who_slept_through_several_parts_has_been_replaced(self, open_log):
        zombie, successor = open_log(), open_log()
        zombie.publish(part(0, 3))
        for first in (3, 4, 5):
            successor.publish(part(first, first + 1))
        with pytest.raises(Replaced):
            zombie.publish(part(3, 4))
        assert open_log().end(P0) == 6

    def test_of_owners_who_both_found_the_chain_empty_one_has_been_replaced_wherever_they_begin(self, open_log):
        zombie, successor = open_log(), open_log()
        assert zombie.end(P0) is successor.end(P0) is None
        successor.publish(part(5, 9))
        with pytest.raises(Replaced):
            zombie.publish(part(0, 7))
        assert open_log().end(P0) == 9

    def test_an_owner_who_never_asked_for_the_end_is_checked_all_the_same(self, open_log):
        open_log().publish(part(0, 9))
        with pytest.raises(Replaced):
            open_log().publish(part(4, 7))
        assert open_log().end(P0) == 9

    def test_a_chain_that_is_away_is_neither_taken_for_none_nor_gone_on_with(self, open_log, hidden):
        owner = open_log()
        owner.publish(part(0, 3))
        with hidden():
            for act in (lambda: owner.publish(part(3, 5)), lambda: open_log().end(P0), lambda: owner.end(P0)):
                with pytest.raises(Unavailable, match=r"the log's folder .* is gone"):
                    act()
        owner.publish(part(3, 5))
        assert open_log().end(P0) == 5

    def test_a_chain_that_is_turned_back_goes_on_from_there_and_keeps_its_parts(self, open_log):
        log, early = open_log(), mark(2)
        log.publish(part(0, 3, mark=early))
        log.publish(part(3, 9, mark=mark(8)))
        log.publish(part(9, 12, created_us=70, mark=mark(11)))
        log.end(P0)
        log.turn_back(P0, ChainEnd(next=3, mark=early))
        assert (open_log().end(P0), log.end(P0)) == (3, 3)
        assert log.latest(P0) == 70
        later = open_log()
        later.end(P0)
        later.publish(part(3, 5, mark=mark(4)))
        later.publish(part(5, 30, mark=mark(29)))
        assert open_log().end(P0) == 30
        places = [(place.next, place.mark) for place in open_log().places(P0)]
        assert places == [(30, mark(29)), (5, mark(4)), (3, early), (3, early)]

    def test_it_tells_which_records_were_refused_unless_it_was_turned_back_from_there(self, open_log):
        log = open_log()
        early = (RefusedRecord(offset=0), RefusedRecord(offset=2, is_seen=False))
        log.publish(replace(part(0, 3, mark=mark(2)), refused=early))
        log.publish(part(3, 9, mark=mark(8)))
        log.publish(replace(part(9, 10, mark=mark(9)), refused=(RefusedRecord(offset=9),)))
        assert [place.refused for place in open_log().places(P0)] == [(RefusedRecord(offset=9),), (), early]
        log.end(P0)
        log.turn_back(P0, ChainEnd(next=3, mark=mark(2)))
        assert [place.refused for place in open_log().places(P0)] == [(), early]

    def test_who_reads_on_where_a_chain_was_turned_back_from_has_been_replaced(self, open_log):
        zombie, successor = open_log(), open_log()
        for first in (0, 3, 6):
            successor.publish(part(first, first + 3, mark=mark(first + 2)))
        assert zombie.end(P0) == successor.end(P0) == 9
        successor.turn_back(P0, ChainEnd(next=3, mark=mark(2)))
        for _ in range(2):
            with pytest.raises(Replaced):
                zombie.publish(part(9, 12))
        with pytest.raises(Replaced):
            zombie.turn_back(P0, ChainEnd(next=6, mark=mark(5)))
        assert open_log().end(P0) == 3

    def test_a_chain_may_be_turned_back_again_and_to_its_beginning(self, open_log):
        log = open_log()
        log.publish(part(4, 9))
        for _ in range(3):
            log.end(P0)
            log.turn_back(P0, ChainEnd(next=0, mark=None))
            log.publish(part(0, 2))
            assert open_log().end(P0) == 2
