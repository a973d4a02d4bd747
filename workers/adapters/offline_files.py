"""Publish a file of the offline log, only if it does not exist yet, and only in a folder that still exists.

In: a path and its bytes. Out: whether we created the file. Knows nothing of the content, nor how a file is published
atomically (`core/publication.py`).
"""

import os
from collections.abc import Callable
from pathlib import Path

from undertow.core.errors import Refused, Unavailable
from undertow.core.publication import (
    TEMPORARY,
    AtStep,
    Content,
    NoHardLinksError,
    create_in,
    held,
    replace_file,
    replace_in,
    sync_folder,
)
from undertow.storage.creation import create_object
from undertow.storage.fault_words import why
from undertow.storage.store_path import AnyPath, StorePath, below
from undertow.stream.failpoints import hit_failpoint

ABANDONED_S = 3600.0
"""A temporary file is abandoned if it was not written to for this long. A choice, far above the time of a write."""


def publish(
    path: AnyPath, content: Content, *, within: AnyPath, after: str = "", at_step: AtStep | None = None
) -> bool:
    """Create `path` with `content`, synced to disk; return False, without any change, if it already exists.

    In a store `content` must be the writer's own, since it is theirs if it is there with the same one: a lost reply.

    Folders are created only below `within`, which must exist: if it does not, its disk may be unmounted, and anything
    created in its place would be hidden when the disk is mounted again. `after` names a file that must exist beside
    `path`, in the same folder as is written to, even if another disk is mounted over it meanwhile. At each step the
    failpoint of its name is hit, or `at_step` called.

    The file appears complete or not at all, even if this process is killed or the disk is full: then a temporary file
    may remain, which readers ignore and `sweep` removes. Raises `Unavailable`, or `Refused` if retrying cannot help.
    """
    try:
        if isinstance(path, StorePath):
            return _create_object(path, content, after=after, at_step=at_step or hit_failpoint)
        return _create_file(path, content, within=within, after=after, at_step=at_step or hit_failpoint)
    except NoHardLinksError as error:
        message = f"{path.parent} lies on a file system without hard links ({error.strerror}), which this log needs"
        raise Refused(message) from error
    except PermissionError as error:
        message = f"{path} cannot be written {why(path, error, f'give this user the right to write in {path.parent}')}"
        raise Refused(message) from error
    except OSError as error:
        what = why(path, error, "free space on or repair its disk")
        message = f"{path} could not be written {what}: it will be tried again"
        raise Unavailable(message) from error


def _create_file(path: Path, content: Content, *, within: AnyPath, after: str, at_step: AtStep) -> bool:
    require_folder(within)
    for above in reversed(path.parents[: below(path, within).count("/")]):
        _make_one(above)
    with held(path.parent) as folder:
        if after and not _is_there(after, folder):
            raise Unavailable(_gone(path.parent, f"; {after}, the part before {path.name}, is not there"))
        return create_in(folder, path.name, content, at_step=at_step)


def _create_object(path: StorePath, content: Content, *, after: str, at_step: AtStep) -> bool:
    at_step("before_write")
    if after and not (path.parent / after).is_file():
        raise Unavailable(_gone(path.parent, f"; {after}, the part before {path.name}, is not there"))
    at_step("after_fsync")  # where a disk has all but the name
    is_ours = create_object(path, content)
    at_step("after_link")
    return is_ours


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def require_folder(folder: AnyPath) -> None:
    """Raise `Unavailable` if a folder that existed is gone. Nothing is ever mounted over a store's."""
    if isinstance(folder, Path) and not folder.is_dir():
        raise Unavailable(_gone(folder))


def _gone(folder: AnyPath, found: str = "") -> str:
    return (
        f"the log's folder {folder} is gone: mount its disk again, or restore it from a copy{found}; it will be tried "
        "again (to begin a log anew, end the fleet and run: undertow apply)"
    )


def make_folder(folder: AnyPath) -> None:
    """Create a folder and its parents, synced to disk; only for the one who begins a log. Raises `Refused`."""
    if isinstance(folder, StorePath):
        return
    try:
        for one in (*reversed(folder.parents), folder):
            _make_one(one)
    except OSError as error:
        message = f"{folder} cannot be made a folder ({error.strerror}: {error.filename}); see the setting offline.path"
        raise Refused(message) from error


def _make_one(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def replace(path: AnyPath, content: bytes, *, is_durable: bool = True) -> None:
    """Replace a file atomically, in a folder that is made if only it is missing. Raises `OSError`.

    Without `is_durable` nothing waits for a disk; a store always does.
    """
    if isinstance(path, StorePath):
        path.write_bytes(content)
        return
    path.parent.mkdir(exist_ok=True)
    replace_file(path, content, is_durable=is_durable)


def replace_unchanged(path: AnyPath, make: Callable[[], Content | None]) -> bool:
    """Replace a file by what `make` returns, who reads it; return False if another has replaced or deleted it since.

    Nothing is changed where `make` returns None. Durable on return. Raises `OSError`, and what `make` raises.
    """
    if isinstance(path, StorePath):
        version = path.version()
        return (content := make()) is None or path.replace_version(content, version)
    with held(path.parent) as folder:  # where it is moved meanwhile, nothing is put into the one that takes its place
        was = os.stat(path.name, dir_fd=folder)
        content = make()
        if not os.path.samestat(path.stat(), was):
            return False
        return content is None or replace_in(folder, path.name, content, was=was)


def sync_names(folder: AnyPath) -> None:
    """Make the names in a folder durable; a store's are once it has answered. Raises `OSError`."""
    if isinstance(folder, Path):
        sync_folder(folder)


def sweep(folder: AnyPath, *, now: float) -> None:
    """Remove abandoned temporary files. `now` is in seconds since the epoch.

    If a writer is alive after all, its `publish` raises `Unavailable` and is retried: nothing is lost.
    """
    if isinstance(folder, StorePath):  # it shows no object that was not written whole
        return
    for path in folder.glob(f".*{TEMPORARY}"):
        try:
            if path.stat().st_mtime < now - ABANDONED_S:
                path.unlink()
        except FileNotFoundError:
            continue
