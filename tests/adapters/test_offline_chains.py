"""Chains that lack a part: whoever appends, starts or reads is told which offsets, and may go on without on purpose."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from undertow.adapters import offline_chains
from undertow.adapters.offline_chains import BEGUN, chains, find_holes, require_whole
from undertow.adapters.offline_files import publish
from undertow.adapters.offline_history import whole_parts
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_mend import accept_holes
from undertow.adapters.offline_parts import read_footer
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart
from undertow.stream.record_marks import ChainEnd

SPACE = "5" * 64
VIEW = SpaceView(name="pumps", space=SPACE, series=(IdColumn(name="site", type="string"),), features=(("hidden", 2),))
P0 = Partition("windows", 0)


def part(first, after):
    n = after - first
    batch = EmbeddingBatch(
        space=SPACE,
        series={"site": np.full(n, "s0", object)},
        event_us=np.arange(first, after),
        created_us=np.arange(first, after),
        features={"hidden": np.zeros((n, 2), np.float32)},
    )
    return ChainPart(partition=P0, first=first, next=after, embeddings=batch, offsets=np.arange(first, after))


def name(first):
    return f"{first:020d}.parquet"


@pytest.fixture
def open_log(tmp_path, memory_clock):
    make_log(tmp_path)
    claim_folder(tmp_path, VIEW)
    return lambda: FileOfflineLog(tmp_path, VIEW, cluster_id="c", topic_id="t", writer="test", clock=memory_clock)


@pytest.fixture
def home(tmp_path):
    return tmp_path / VIEW.view


@pytest.fixture
def folder(open_log, home):
    """A chain of five parts of two offsets each, that begins at 3."""
    log = open_log()
    for first in range(3, 13, 2):
        log.publish(part(first, first + 2))
    return home / "windows" / "0"


def as_of_an_earlier_version(folder, home):
    """Parts that do not number themselves, and no note that the chain has begun."""
    for path in sorted(folder.iterdir()):
        table = pq.read_table(path)
        metadata = {key: value for key, value in table.schema.metadata.items() if key != b"undertow.number"}
        pq.write_table(table.replace_schema_metadata(metadata), path)
        assert read_footer(path).number is None
    for note in (home / BEGUN).rglob("*.begun"):
        note.unlink()


HOLES = {
    "the second": ([5], "offsets 5 to 6"),
    "two in a row": ([5, 7], "offsets 5 to 8"),
    "the first": ([0], "offsets up to 4"),
    "the last but one": ([9], "offsets 9 to 10"),
}


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("hole", HOLES)
def test_a_missing_part_is_told_with_its_offsets_to_readers_and_waited_for_by_whoever_goes_on(
    folder, home, open_log, hole, is_old
):
    gone, told = HOLES[hole]
    if is_old:
        as_of_an_earlier_version(folder, home)
    (aside := home.parent / "aside").mkdir()
    for first in gone:
        (folder / name(first)).rename(aside / name(first))
    for read in (require_whole, whole_parts, chains):
        with pytest.raises(Refused, match=rf"windows/0 lacks {told} .*{name(gone[0])} is missing.*apply --accept-lost"):
            read(home)
    with pytest.raises(Unavailable, match=told):
        open_log().end(P0)
    for path in aside.iterdir():
        path.rename(folder / path.name)
    assert open_log().end(P0) == 13
    assert [path.name for path in whole_parts(home)] == [name(first) for first in (0, 5, 7, 9, 11)]


@pytest.mark.parametrize("hole", HOLES)
def test_on_purpose_a_chain_goes_on_without_what_is_missing_and_says_so_for_ever(folder, home, open_log, hole):
    gone, told = HOLES[hole]
    for first in gone:
        (folder / name(first)).unlink()
    (line,) = accept_holes(home, VIEW)
    assert told in line
    (chain,) = chains(home)
    assert (chain.next, chain.lost) == (13, 0 if gone == [0] else 2 * len(gone))
    log = open_log()
    assert log.end(P0) == 13
    log.publish(part(13, 15))
    assert find_holes(folder)[1] == []
    assert [*accept_holes(home, VIEW)] == []


TURNS = {"the turn": [13], "a part and the turn": [11, 13], "all that was turned back from": [7, 9, 11, 13]}


@pytest.mark.parametrize("gone", TURNS)
def test_a_chain_that_lacks_where_it_was_turned_back_is_told_and_may_go_on_without(folder, home, open_log, gone):
    log = open_log()
    log.end(P0)
    log.turn_back(P0, ChainEnd(next=7, mark=None))
    log.publish(part(7, 10))
    names = sorted(path.name for path in folder.iterdir())
    assert [path.name for path in whole_parts(home)] == names
    for first in TURNS[gone]:
        (folder / name(first)).unlink()
    told = rf"windows/0 lacks what it had before it was turned back to offset 7 \(.*{name(TURNS[gone][0])} is missing"
    with pytest.raises(Refused, match=told):
        whole_parts(home)
    assert len([*accept_holes(home, VIEW)]) == 1
    log = open_log()
    assert log.end(P0) == 10
    log.publish(part(10, 12))
    assert open_log().end(P0) == 12
    assert [*accept_holes(home, VIEW)] == []


def test_a_chain_that_is_gone_whole_is_missed_and_begins_anew_on_purpose_only(folder, home, open_log):
    owner = open_log()
    owner.end(P0)
    folder.parent.rename(home.parent / "aside")
    for act in (lambda: open_log().end(P0), lambda: owner.publish(part(13, 15))):
        with pytest.raises(Unavailable, match="is gone"):
            act()
    assert not folder.parent.exists()
    with pytest.raises(Refused, match="windows-0 is missing whole"):
        whole_parts(home)
    (line,) = accept_holes(home, VIEW)
    assert "begins anew" in line
    assert open_log().end(P0) is None
    assert whole_parts(home) == []


def test_a_chain_of_an_earlier_version_is_counted_from_its_next_part_on(folder, home, open_log):
    as_of_an_earlier_version(folder, home)
    log = open_log()
    log.publish(part(13, 15))
    assert read_footer(folder / name(13)).number == 5
    assert [chain.parts for chain in chains(home)] == [6]
    folder.parent.rename(home.parent / "aside")
    with pytest.raises(Unavailable, match="its chain was begun"):
        open_log().end(P0)


@pytest.mark.usefixtures("folder")
def test_a_whole_chain_costs_a_reader_one_footer(home, monkeypatch):
    read = []
    monkeypatch.setattr(offline_chains, "read_footer", lambda path: read.append(path) or read_footer(path))
    require_whole(home)
    assert [path.name for path in read] == [name(11)]


def test_a_part_that_is_appended_while_a_listing_goes_on_is_no_hole(folder, monkeypatch):
    listed = iter([[0, 5, 9, 11], [0, 5, 7, 9, 11]])
    monkeypatch.setattr(offline_chains, "part_names", lambda _names: [name(first) for first in next(listed)])
    assert find_holes(folder)[1] == []


def test_a_part_that_overlaps_another_is_refused(folder, home):
    content = (folder / name(5)).read_bytes()
    (folder / name(6)).write_bytes(content)
    with pytest.raises(Refused, match="a part begins at 5, the part before it ends at 7"):
        require_whole(home)


def test_an_append_asks_the_folder_that_it_writes_to(tmp_path):
    (tmp_path / "before").touch()
    assert publish(tmp_path / "next", b"", within=tmp_path, after="before")
    with pytest.raises(Unavailable, match="nothing, the part before other, is not there"):
        publish(tmp_path / "other", b"", within=tmp_path, after="nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "next"]


def test_another_log_that_comes_to_light_where_ours_was_is_not_taken_for_it(tmp_path, memory_clock):
    """As the bare mount point does, if somebody once wrote a log there."""
    root, aside = tmp_path / "log", tmp_path / "aside"
    for _ in range(2):
        make_log(root)
        home = claim_folder(root, VIEW)
        log = FileOfflineLog(root, VIEW, cluster_id="c", topic_id="t", writer="test", clock=memory_clock)
        if not aside.exists():
            shadow = log
            shadow.publish(part(0, 3))
            root.rename(aside)
    log.publish(part(0, 5))
    root.rename(tmp_path / "mounted")
    aside.rename(root)
    for act in (lambda: log.end(P0), lambda: log.publish(part(5, 7)), lambda: log.end(Partition("windows", 1))):
        with pytest.raises(Unavailable, match=r"the log's folder .*is gone"):
            act()
    assert [path.name for path in (home / "windows" / "0").iterdir()] == [name(0)]
