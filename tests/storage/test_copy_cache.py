"""What is fetched from a store, what of it stays on the disk, and for how long."""

import errno
import multiprocessing
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from undertow.core.errors import Refused
from undertow.storage import copy_cache
from undertow.storage.copy_cache import CopyCache, drop_absent_copies
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import StorePath

MOST = 1000


@pytest.fixture
def cached(root, tmp_path, monkeypatch):
    """A prefix whose objects may stay, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return replace(root, options=replace(root.options, cache_bytes=MOST))


@pytest.fixture
def fetched(monkeypatch):
    """The names of the objects that were fetched whole."""
    names, read = [], StorePath.read_stamped

    def noting(path):
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(StorePath, "read_stamped", noting)
    return names


def content(*paths):
    with local_copies(paths) as copies:
        return [copy.read_bytes() for copy in copies]


def kept(tmp_path):
    return sorted(p.read_bytes() for p in (tmp_path / "cache/undertow/objects").rglob("*") if p.is_file())


def test_an_object_is_fetched_once_and_again_when_it_was_replaced(cached, fetched, tmp_path):
    a = cached / "x/a.parquet"
    a.write_bytes(b"1")
    assert [content(a), content(a), fetched] == [[b"1"], [b"1"], ["a.parquet"]]
    a.write_bytes(b"22")
    assert [content(a), content(a), len(fetched)] == [[b"22"], [b"22"], 2]
    assert kept(tmp_path) == [b"22"]


def test_a_copy_keeps_its_name_and_nobody_else_may_read_it(cached, tmp_path):
    (cached / "a.parquet").write_bytes(b"1")
    with local_copies([cached / "a.parquet"]) as (copy,):
        assert copy.name == "a.parquet"
    assert stat.S_IMODE((tmp_path / "cache/undertow").stat().st_mode) == 0o700


def test_of_too_many_bytes_those_go_that_were_used_longest_ago_and_who_reads_them_still_does(cached, tmp_path):
    paths = [cached / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode() * 400)
    content(paths[0])
    content(paths[1])
    for copy in (tmp_path / "cache/undertow/objects/copies").rglob("*"):
        if copy.is_file():
            os.utime(copy, (1, 1) if copy.read_bytes()[:1] == b"a" else (2, 2))
    with local_copies([paths[0]]) as (held,):  # now b was used longest ago
        content(paths[2])
        assert [one[:1] for one in kept(tmp_path)].count(b"b") == 0
        content(*paths)
        assert held.read_bytes() == b"a" * 400


def test_without_bytes_nothing_stays(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (root / "a").write_bytes(b"1")
    assert content(root / "a") == [b"1"]
    assert not (tmp_path / "cache").exists()


def test_what_is_no_longer_there_is_dropped_and_so_is_what_a_reader_refused(cached, fetched, tmp_path):
    paths = [cached / "x/a", cached / "x/b", cached / "y/a"]
    for path in paths:
        path.write_bytes(str(path.key[-3:]).encode())
    content(*paths)
    drop_absent_copies(cached / "x", [paths[0]])
    assert kept(tmp_path) == [b"x/a", b"y/a"]
    message = "it is damaged"
    with pytest.raises(Refused), local_copies([paths[0]]):
        raise Refused(message)
    assert kept(tmp_path) == [b"y/a"]
    content(paths[0])
    assert fetched.count("a") == 3


def test_where_the_disk_is_full_or_there_can_be_no_cache_a_temporary_folder_is_used(cached, monkeypatch, caplog):
    (cached / "a").write_bytes(b"1")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(CopyCache, "fetch", fail)
        assert content(cached / "a") == [b"1"]
    monkeypatch.setattr(copy_cache, "cache_folder", fail)
    assert content(cached / "a") == [b"1"]
    assert ["disk is full" in caplog.messages[0], "not to the cache" in caplog.messages[1]] == [True, True]


def _hold(folder: str, is_held) -> None:
    os.environ["XDG_CACHE_HOME"] = folder
    with CopyCache(MOST).open_folder() as links:
        (links / "x").write_bytes(b"1")
        is_held.set()
        multiprocessing.Event().wait()  # until it is killed


def test_the_links_of_a_process_that_was_killed_are_swept_and_those_of_a_living_one_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(copy_cache, "STARTING_S", -1.0)
    context = multiprocessing.get_context("spawn")
    is_held = context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), is_held))
    process.start()
    try:
        assert is_held.wait(60)
        links = Path(tmp_path, "undertow/objects/links")
        CopyCache(MOST)
        assert len([*links.iterdir()]) == 1
    finally:
        process.kill()
        process.join()
    CopyCache(MOST)
    assert [*links.iterdir()] == []
