"""A path in a store answers as pathlib's does, with the errors of a disk."""

import errno
import os
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.core.errors import Refused
from undertow.storage.fault_words import why
from undertow.storage.local_copies import local_copies
from undertow.storage.store_client import StoreOptions
from undertow.storage.store_path import StorePath, below, containing, parse_any

NAMES = st.lists(st.text("ab.c@=-_1", min_size=1, max_size=5).filter(lambda name: name.strip(".")), max_size=4)


@given(names=NAMES, more=NAMES)
def test_names_are_taken_apart_and_put_together_as_pathlib_does(names, more):
    path, reference = StorePath("s3://b", "/".join(names)), PurePosixPath("/".join(names))
    for name in more:
        path, reference = path / name, reference / name
    assert (path.name, path.suffix, path.stem) == (reference.name, reference.suffix, reference.stem)
    assert str(path.parent) == f"s3://b/{reference.parent}".removesuffix("/.")
    assert path.parts == ("s3://b", *reference.parts)
    assert parse_any(str(path)) == path
    assert StorePath("s3://b", "/".join(names)) / "/".join(more) == path
    assert below(path, StorePath("s3://b", "/".join(names))) == ("/".join(more) or ".")


def test_a_prefix_is_there_as_long_as_an_object_lies_below_it(root):
    folder = root / "a"
    assert (folder.exists(), folder.is_dir(), [*folder.glob("*")], [*folder.walk_objects()]) == (False, False, [], [])
    with pytest.raises(FileNotFoundError):
        [*folder.iterdir()]
    (folder / "b/c").write_bytes(b"1")
    (folder / "b2").write_bytes(b"12")
    (root / "ab").write_bytes(b"")
    assert (folder.is_dir(), folder.is_file(), (folder / "b2").is_file(), (folder / "b2").is_dir()) == (
        *(True, False),
        *(True, False),
    )
    assert sorted(folder.iterdir()) == [folder / "b", folder / "b2"]
    assert sorted(root.glob("*")) == [folder, root / "ab"]
    assert [*root.glob("a/*/c")] == [*root.glob("*/b/*")] == [folder / "b/c"]
    assert sorted(root.walk_objects()) == [folder / "b/c", folder / "b2", root / "ab"]
    assert (folder / "b2").stat().st_size == 2
    (folder / "b/c").unlink()
    (folder / "b2").unlink()
    assert not folder.exists()
    (folder / "b2").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (folder / "b2").unlink()


def test_more_objects_than_a_page_has_are_listed(root):
    for number in range(1_005):
        (root / f"{number:05d}").write_bytes(b"")
    assert [path.name for path in sorted(root.iterdir())] == [f"{number:05d}" for number in range(1_005)]
    assert len([*root.walk_objects()]) == 1_005


def test_a_file_in_a_store_is_read_in_ranges_as_one_on_a_disk(root, tmp_path):
    content = os.urandom(3_000_001)
    (root / "x").write_bytes(content)
    (tmp_path / "x").write_bytes(content)
    with (root / "x").open("rb") as ours, (tmp_path / "x").open("rb") as reference:
        for offset, whence, size in (
            (-10, 2, 20),
            (0, 0, 5),
            (2_999_990, 0, -1),
            (7, 0, 2_000_000),
            (-5, 1, 9),
            (0, 2, 1),
        ):
            assert ours.seek(offset, whence) == reference.seek(offset, whence)
            assert ours.read(size) == reference.read(size)
    assert (root / "x").read_bytes() == content
    table = pa.table({"a": range(1000)})
    pq.write_table(table, tmp_path / "t.parquet")
    (root / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes())
    with local_copies([root / "t.parquet", tmp_path / "t.parquet"]) as copies:
        assert [path.name for path in copies] == ["t.parquet", "t.parquet"]
        assert all(pq.read_table(path).equals(table) for path in copies)
    assert not any(path.exists() for path in copies)


def test_what_fails_is_an_error_of_a_disk_with_the_address(root):
    missing = root / "no"
    for fail in (missing.read_bytes, partial(missing.open, "rb"), missing.stat):
        with pytest.raises(FileNotFoundError) as told:
            fail()
        assert (told.value.errno, told.value.filename) == (errno.ENOENT, f"{root}/no")


def test_a_server_that_is_away_is_an_error_of_input_and_output(monkeypatch):
    monkeypatch.setattr("undertow.storage.store_client.RETRIES", 0)
    options = StoreOptions(endpoint="http://127.0.0.1:1", region="r", access_key_id="me", secret_access_key="hush-hush")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1") as away:
        StorePath.parse("s3://bucket/a", options).read_bytes()
    assert (away.value.errno, "hush" in str(away.value), "\n" in str(away.value)) == (errno.EIO, False, False)


@pytest.mark.s3
def test_a_wrong_login_is_a_refusal_that_shows_no_secret(store_root):
    options = replace(store_root.options, secret_access_key="hush-hush")
    path = StorePath(store_root.bucket, store_root.key, options)
    with pytest.raises(PermissionError) as refused:
        path.write_bytes(b"")
    assert "hush" not in str(refused.value) + repr(path) + str(path) + repr(options)
    assert pickle.loads(pickle.dumps(path)).options == options


@pytest.mark.s3
def test_what_is_said_of_a_store_has_its_address_once_and_speaks_of_no_disk(store_root, tmp_path):
    absent = StorePath("s3://no-such-bucket", "x", store_root.options)
    with pytest.raises(OSError, match="NoSuchBucket") as told:
        absent.read_bytes()
    assert why(absent, told.value, "repair its disk") == (
        "(the store answers NoSuchBucket); see the section store of the settings"
    )
    with pytest.raises(OSError, match="No such file") as gone:
        (tmp_path / "x").read_bytes()
    assert why(tmp_path / "x", gone.value, "repair its disk").endswith("/x'); repair its disk")


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_not_taken_for_an_object_that_is_not(store_root):
    with pytest.raises(OSError, match="NoSuchBucket") as told:
        StorePath("s3://no-such-bucket", "x", store_root.options).read_bytes()
    assert told.value.errno == errno.EIO


def test_an_option_that_object_store_does_not_know_is_refused_by_name():
    with pytest.raises(Refused, match=r"store.extra: .*'aws_nonsense'"):
        StorePath.parse("s3://bucket/a", StoreOptions(extra=(("aws_nonsense", "1"),))).exists()


def test_nothing_takes_an_address_for_a_file():
    with pytest.raises(TypeError):
        os.fspath(StorePath.parse("s3://bucket/a"))
    with pytest.raises(ValueError, match="mode 'wb'"):
        StorePath.parse("s3://bucket/a").open("wb")


@pytest.mark.parametrize("bad", ["s3://", "az://account", "http://host/x", "s3://k:s@b/x", "s3://b/x?y", "s3://b/../x"])
def test_an_address_that_is_none_is_refused_without_repeating_it(bad):
    with pytest.raises(ValueError, match="expected") as refused:
        StorePath.parse(bad)
    assert "k:s" not in str(refused.value)


def test_a_path_is_told_from_an_address_by_its_scheme():
    assert parse_any("a/b") == Path("a/b")
    assert parse_any("az://account/container/a").parts == ("az://account/container", "a")
    assert containing(Path("/x/@table/day=1/f"), "@table") == Path("/x/@table")
    assert containing(StorePath.parse("s3://b/x/@table/day=1/f"), "@table") == StorePath.parse("s3://b/x/@table")
    with pytest.raises(ValueError, match="does not lie below"):
        below(StorePath.parse("s3://b/x"), Path("x"))
