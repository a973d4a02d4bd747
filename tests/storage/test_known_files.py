"""Files of a known digest are fetched once a machine, and never taken for what they are not."""

import hashlib
import os
import time

import pytest

from undertow.core.private_files import cache_folder
from undertow.storage.known_files import FOLDER, UNUSED_S, read_known
from undertow.storage.store_path import StorePath

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """The objects that were asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(StorePath, "read_bytes", lambda self: asked.append(self) or CONTENT)
    return asked


FILE = StorePath.parse("s3://bucket/artifact/weights.safetensors")


def kept():
    return cache_folder() / FOLDER / DIGEST


def test_a_file_is_fetched_once(fetched):
    assert [read_known(FILE, DIGEST) for _ in range(3)] == [CONTENT] * 3
    assert fetched == [FILE]
    assert oct(kept().parent.stat().st_mode)[-3:] == "700"


def test_what_was_changed_in_the_cache_is_fetched_anew(fetched):
    read_known(FILE, DIGEST)
    kept().write_bytes(b"other")
    assert read_known(FILE, DIGEST) == CONTENT
    assert (len(fetched), kept().read_bytes()) == (2, CONTENT)


def test_what_is_not_of_the_digest_is_returned_for_its_reader_to_refuse_and_not_kept(fetched):
    other = hashlib.sha256(b"other").hexdigest()
    assert [read_known(FILE, other) for _ in range(2)] == [CONTENT] * 2
    assert len(fetched) == 2


def test_without_a_folder_for_it_each_call_fetches(fetched, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [read_known(FILE, DIGEST) for _ in range(2)] == [CONTENT] * 2
    assert len(fetched) == 2


def test_what_nobody_asked_for_in_a_month_is_deleted(fetched):
    read_known(FILE, DIGEST)
    old = kept().with_name("0" * 64)
    old.write_bytes(b"old")
    os.utime(old, (0, time.time() - UNUSED_S - 60))
    kept().unlink()
    read_known(FILE, DIGEST)
    assert [path.name for path in kept().parent.iterdir()] == [DIGEST]
    assert len(fetched) == 2
