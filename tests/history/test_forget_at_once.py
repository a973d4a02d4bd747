"""Series are forgotten in few requests and few transactions, several files at once, and only what changed is reread."""

import json
import threading
from collections import Counter

import pytest
from deltalake import DeltaTable

from tests.history.fold_world import P0, P1
from tests.history.forget_world import in_store, on_disk
from undertow.adapters import offline_files, offline_forget
from undertow.adapters.offline_wanted import WantedSeries

PATIENCE_S = 60


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def world(request, tmp_path, memory_clock):
    if request.param == "disk":
        return on_disk(tmp_path, memory_clock)
    return in_store(request.getfixturevalue("store_root"), memory_clock, request.getfixturevalue("s3"))


@pytest.fixture
def looked(monkeypatch):
    """Which files were opened to look for rows, by how often."""
    counts, find = Counter(), WantedSeries.found_in

    def found_in(self, path, size=None):
        counts[path] += 1
        return find(self, path, size)

    monkeypatch.setattr(WantedSeries, "found_in", found_in)
    return counts


def test_a_file_without_such_a_row_is_opened_once_and_again_only_if_it_is_another(world, looked):
    for _ in range(5):
        world.publish(P0, 2)  # two of three series a part
    history = world.history("s1")
    found = {file.path for file in history.find().files}
    paths = {world.home / "windows/0" / name for name in world.parts()}
    assert looked == Counter([*paths])
    assert {file.path for file in history.find().files} == found
    (ruled_out,) = paths - found - {max(paths)}
    assert looked == Counter([*paths, *found])
    content = max(found).read_bytes()
    ruled_out.unlink()
    offline_files.publish(ruled_out, content, within=world.home)
    assert {file.path for file in history.find().files} == {*found, ruled_out}
    assert looked[ruled_out] == 2


def test_an_object_that_is_another_since_it_was_listed_is_read_as_it_is_now(world, monkeypatch):
    world.publish(P0, 9)
    world.publish(P1, 600)
    small, large = (world.home / f"windows/{index}/{0:020d}.parquet" for index in (0, 1))
    seen = WantedSeries.found_in

    def late(self, path, size=None):
        if path == large and size is not None and large.exists():
            content = small.read_bytes()
            large.unlink()
            offline_files.publish(large, content, within=world.home)
        return seen(self, path, size)

    monkeypatch.setattr(WantedSeries, "found_in", late)
    found = world.history("s1").find()
    assert found.faults == ()
    assert large in {file.path for file in found.files}


def test_several_parts_are_rewritten_at_once(world, monkeypatch):
    for _ in range(3):
        world.publish(P0, 3)
    encode, all_there = offline_forget.encode_again, threading.Barrier(3)

    def meet(*arguments):
        all_there.wait(PATIENCE_S)
        return encode(*arguments)

    monkeypatch.setattr(offline_forget, "encode_again", meet)
    assert world.forget("s1").rows["tail"] == 3


@pytest.mark.parametrize(("together", "transactions"), [(offline_forget.TOGETHER_BYTES, 1), (1, 2)])
def test_of_the_table_as_many_files_are_replaced_in_a_transaction_as_fit_in_memory(
    tmp_path, memory_clock, monkeypatch, together, transactions
):
    world = on_disk(tmp_path, memory_clock)
    for _ in range(2):  # a file each
        world.publish(P0, 3)
        world.publish(P0, 3)
        world.maintain()
    monkeypatch.setattr(offline_forget, "TOGETHER_BYTES", together)
    history = world.history("s1")
    files = history.find().at("table")
    before = DeltaTable(str(world.home / "@table")).version()
    assert (len(files), history.rewrite_table(files)) == (2, 3)
    assert DeltaTable(str(world.home / "@table")).version() - before == transactions


def test_what_another_has_replaced_meanwhile_is_left_to_it_and_no_file_stays_that_no_version_has(
    tmp_path, memory_clock, monkeypatch
):
    world = on_disk(tmp_path, memory_clock).fill()
    others, done = world.others("s1"), []

    def late(at):
        if at == "after_forget_file" and not done:
            done.append(at)
            assert world.forget("s1").is_done

    with monkeypatch.context() as patch:
        patch.setattr(offline_forget, "hit_failpoint", late)
        assert world.forget("s1").rows["table"] == 0
    assert done
    assert world.rows() == others
    log = (world.root / "@delta" / world.home.name).glob("*.json")
    actions = [json.loads(line) for path in log for line in path.read_text().splitlines()]
    known = {action["add"]["path"] for action in actions if "add" in action}
    assert {path.relative_to(world.home / "@table").as_posix() for path in world.home.glob("@table/day=*/*")} == known
