"""How a file of the offline log appears: whole, durable, and only where there was none.

In: a path and its bytes. Out: whether the file is ours. Knows nothing of what is inside.
"""

import errno
import os
import uuid
from pathlib import Path

from workers.core.errors import Refused, Unavailable
from workers.core.failpoints import reach

TEMPORARY = ".tmp"
ABANDONED_S = 3600.0
"""A temporary file that nobody wrote to for so long has lost its writer."""
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def publish(path: Path, content: bytes, *, within: Path) -> bool:
    """Make `path` hold `content`, durably; return False, having changed nothing, if it already exists.

    Folders are made below `within` only. That one must be there: where it is not, its disk may have gone, and what was
    made in its place would be lost when it comes back.

    Nobody ever sees half of it, even if this process is killed or the disk fills: then a temporary file may stay, which
    readers ignore and `sweep` removes. Raises `Unavailable`, or `Refused` where the folder can never take it.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        require_folder(within)
        for folder in reversed(path.relative_to(within).parents[:-1]):
            _make_one(within / folder)
        try:
            reach("before_write")
            _write(temporary, content)
            reach("after_fsync")
            if not _link(temporary, path):
                return False
            reach("after_link")
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except PermissionError as error:
        message = f"{path} cannot be written ({error.strerror}); give this user the right to write in {path.parent}"
        raise Refused(message) from error
    except OSError as error:
        message = f"{path} could not be written ({error}); free space on or repair its disk: it will be tried again"
        raise Unavailable(message) from error
    return True


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(temporary: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        # A network file system may lose the reply to a link that it made: then both names are one file.
        return path.samefile(temporary)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        message = f"{path.parent} lies on a file system without hard links ({error.strerror}), which this log needs"
        raise Refused(message) from error
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_folder(folder: Path) -> None:
    """Raise `Unavailable` where a folder that was there is gone."""
    if not folder.is_dir():
        message = (
            f"the folder {folder} is gone: mount its disk again, or restore it from a copy; it will be tried again "
            "(to begin a log anew, end the fleet and run: undertow apply)"
        )
        raise Unavailable(message)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably: only who begins a log may do so.

    Raises `Refused` where that cannot be.
    """
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
    """Remove temporary files whose writers are gone. `now` is in seconds since the epoch.

    Should one be alive after all, its `publish` raises `Unavailable` and is tried again: nothing is lost.
    """
    for path in folder.glob(f".*{TEMPORARY}"):
        try:
            if path.stat().st_mtime < now - ABANDONED_S:
                path.unlink()
        except FileNotFoundError:
            continue
