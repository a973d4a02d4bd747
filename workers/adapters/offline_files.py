"""Publish a file of the offline log, only if it does not exist yet, and only in a folder that still exists.

In: a path and its bytes. Out: whether we created the file. Knows nothing of the content, nor how a file is published
atomically (`core/publication.py`).
"""

import os
from pathlib import Path

from undertow.core.errors import Refused, Unavailable
from undertow.core.publication import TEMPORARY, NoHardLinksError, create_in, held, sync_folder
from undertow.stream.failpoints import hit_failpoint

ABANDONED_S = 3600.0
"""A temporary file is abandoned if it was not written to for this long. A choice, far above the time of a write."""


def publish(path: Path, content: bytes, *, within: Path, after: str = "") -> bool:
    """Create `path` with `content`, synced to disk; return False, without any change, if it already exists.

    Folders are created only below `within`, which must exist: if it does not, its disk may be unmounted, and anything
    created in its place would be hidden when the disk is mounted again. `after` names a file that must exist beside
    `path`, in the same folder as is written to, even if another disk is mounted over it meanwhile.

    The file appears complete or not at all, even if this process is killed or the disk is full: then a temporary file
    may remain, which readers ignore and `sweep` removes. Raises `Unavailable`, or `Refused` if retrying cannot help.
    """
    try:
        require_folder(within)
        for above in reversed(path.relative_to(within).parents[:-1]):
            _make_one(within / above)
        with held(path.parent) as folder:
            if after and not _is_there(after, folder):
                raise Unavailable(_gone(path.parent, f"; {after}, the part before {path.name}, is not there"))
            return create_in(folder, path.name, content, at_step=hit_failpoint)
    except NoHardLinksError as error:
        message = f"{path.parent} lies on a file system without hard links ({error.strerror}), which this log needs"
        raise Refused(message) from error
    except PermissionError as error:
        message = f"{path} cannot be written ({error.strerror}); give this user the right to write in {path.parent}"
        raise Refused(message) from error
    except OSError as error:
        message = f"{path} could not be written ({error}); free space on or repair its disk: it will be tried again"
        raise Unavailable(message) from error


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def require_folder(folder: Path) -> None:
    """Raise `Unavailable` if a folder that existed is gone."""
    if not folder.is_dir():
        raise Unavailable(_gone(folder))


def _gone(folder: Path, found: str = "") -> str:
    return (
        f"the log's folder {folder} is gone: mount its disk again, or restore it from a copy{found}; it will be tried "
        "again (to begin a log anew, end the fleet and run: undertow apply)"
    )


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, synced to disk; only for the one who begins a log. Raises `Refused`."""
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


def sweep(folder: Path, *, now: float) -> None:
    """Remove abandoned temporary files. `now` is in seconds since the epoch.

    If a writer is alive after all, its `publish` raises `Unavailable` and is retried: nothing is lost.
    """
    for path in folder.glob(f".*{TEMPORARY}"):
        try:
            if path.stat().st_mtime < now - ABANDONED_S:
                path.unlink()
        except FileNotFoundError:
            continue
