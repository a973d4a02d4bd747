"""A file or a folder appears whole and durable, or not at all: a failure at any step, and what stays after it."""

import ast
import errno
import os
import stat
from pathlib import Path

import pytest

from undertow.adapters.offline_files import publish
from undertow.core.errors import Refused
from undertow.core.private_files import keep_secret
from undertow.core.publication import (
    NoHardLinksError,
    create_file,
    create_in,
    held,
    publish_folder,
    replace_file,
    replacing,
)

WORKERS = Path(__file__).parents[2] / "workers"
PUBLISHING = {"rename", "renames", "link", "fsync", "NamedTemporaryFile", "mkstemp"}
OTHERS = {
    "core/publication.py": "all of it",
    "stream/failpoints.py": "claims a file by renaming it, and publishes none",
    "devstack/jars.py": "moves files within a folder that is not published yet",
    "storage/copy_cache.py": "gives copies that may be lost at any time a second name",
}
FAULT = OSError(errno.EIO, os.strerror(errno.EIO))


class Failing:
    """An operating system one of whose calls fails."""

    def __init__(self, call: str, error: OSError) -> None:
        self._call, self._error = call, error

    def __getattr__(self, name: str) -> object:
        return self._fail if name == self._call else getattr(os, name)

    def _fail(self, *_: object, **__: object) -> object:
        raise self._error


@pytest.fixture
def failing(monkeypatch):
    """Make one call of the operating system fail, in the module alone."""

    def fail(call: str, error: OSError = FAULT) -> None:
        monkeypatch.setattr("undertow.core.publication.os", Failing(call, error))

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise FAULT


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_replacement_that_fails_leaves_the_old_content_and_no_temporary_file(call, failing, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing(call)
    with pytest.raises(OSError, match="Input/output error"):
        replace_file(path, b"new")
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_a_writer_that_fails_midway_leaves_the_old_content_and_no_temporary_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="Input/output error"):
        write_half(path)
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_a_replacement_that_gets_no_name_leaves_what_has_it(tmp_path):
    (tmp_path / "file" / "of").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "file", b"new")
    assert (names(tmp_path), names(tmp_path / "file")) == (["file"], ["of"])


@pytest.mark.parametrize(("step", "there"), [("before_write", []), ("after_fsync", []), ("after_link", ["file"])])
def test_a_creation_that_fails_at_a_step_leaves_all_of_it_or_nothing(step, there, tmp_path):
    def fail_there(reached: str) -> None:
        if reached == step:
            raise FAULT

    with held(tmp_path) as folder, pytest.raises(OSError, match="Input/output error"):
        create_in(folder, "file", b"new", at_step=fail_there)
    assert names(tmp_path) == there
    assert all((tmp_path / name).read_bytes() == b"new" for name in there)


@pytest.mark.parametrize("call", ["open", "fsync", "link"])
def test_a_creation_whose_call_fails_leaves_nothing(call, failing, tmp_path):
    failing(call)
    with pytest.raises(OSError, match="Input/output error"):
        create_file(tmp_path / "file", b"new")
    assert names(tmp_path) == []


def test_what_is_created_first_stays(tmp_path):
    assert create_file(tmp_path / "file", b"first")
    assert not create_file(tmp_path / "file", b"second")
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"first", ["file"])


def test_a_file_system_that_cannot_sync_a_folder_is_not_waited_for(tmp_path):
    synced = os.fsync

    class Without(Failing):
        def _fail(self, descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise self._error
            synced(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("undertow.core.publication.os", Without("fsync", OSError(errno.EINVAL, "Invalid argument")))
        replace_file(tmp_path / "a", b"new")
        assert create_file(tmp_path / "b", b"new")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links_is_told_and_each_caller_says_what_to_do(code, failing, tmp_path):
    failing("link", OSError(code, os.strerror(code)))
    with pytest.raises(NoHardLinksError):
        create_file(tmp_path / "file", b"new")
    with pytest.raises(Refused, match=r"without hard links .*, which this log needs"):
        publish(tmp_path / "file", b"new", within=tmp_path)
    with pytest.raises(Refused, match="the setting"):
        keep_secret(tmp_path / "below" / "secret", "the setting")
    assert (names(tmp_path), names(tmp_path / "below")) == (["below"], [])
    replace_file(tmp_path / "file", b"new")  # needs none
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("rights", [0o600, 0o640, 0o664])
def test_a_replacement_keeps_the_rights_and_a_new_file_has_those_of_the_mask(rights, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    old.chmod(rights)
    before = os.umask(0o027)
    try:
        replace_file(old, b"new")
        replace_file(new, b"new")
        create_file(tmp_path / "created", b"new")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new, tmp_path / "created")] == [rights, 0o640, 0o640]


def test_a_name_as_long_as_can_be_and_one_without_a_folder_are_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / ("x" * 255), Path("y" * 255)):
        replace_file(path, b"new")
        assert path.read_bytes() == b"new"


def test_a_folder_appears_with_all_its_files_or_stays_where_it_was_made(failing, tmp_path):
    made, place = tmp_path / "made", tmp_path / "place"
    (made / "below").mkdir(parents=True)
    (made / "below" / "file").write_bytes(b"new")
    failing("fsync")
    with pytest.raises(OSError, match="Input/output error"):
        publish_folder(made, place)
    assert names(tmp_path) == ["made"]


def test_a_folder_takes_no_name_that_is_in_use(tmp_path):
    made, place = tmp_path / "made", tmp_path / "place"
    for folder, content in ((made, b"new"), (place, b"old")):
        folder.mkdir()
        (folder / "file").write_bytes(content)
    with pytest.raises(OSError, match=r"not empty|exists"):
        publish_folder(made, place)
    assert (place / "file").read_bytes() == b"old"
    (place / "file").unlink()
    place.rmdir()
    publish_folder(made, place)
    assert (names(tmp_path), (place / "file").read_bytes()) == (["place"], b"new")


def test_nothing_else_publishes():
    def publishes(call: ast.AST) -> bool:
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            return False
        # A path's `replace` takes one argument, a text's takes two.
        is_paths = call.func.attr == "replace" and len(call.args) == 1 and not call.keywords
        return is_paths or call.func.attr in PUBLISHING

    found = {
        path.relative_to(WORKERS).as_posix()
        for path in WORKERS.rglob("*.py")
        if any(map(publishes, ast.walk(ast.parse(path.read_text()))))
    }
    assert found == set(OTHERS)
