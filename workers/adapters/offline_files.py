"""Publish a file of the offline log: atomically, durably, and only if it does not exist yet.

In: a path and its bytes. Out: whether the file is ours. Knows nothing of what is inside.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from undertow.core.errors import Refused, Unavailable
from undertow.stream.failpoints import hit_failpoint

TEMPORARY = ".tmp"
ABANDONED_S = 3600.0
"""A temporary file not written to for this long is abandoned."""
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def publish(path: Path, content: bytes, *, within: Path, after: str = "") -> bool:
    """Make `path` hold `content`, durably; return False, having changed nothing, if it already exists.

    Folders are made below `within` only. That one must be there: where it is not, its disk may have gone, and what was
    made in its place would be lost when it comes back. `after` names a file that must lie beside `path` already, in the
    very folder that is written to, even if another is mounted over it meanwhile.

    Nobody ever sees half of it, even if this process is killed or the disk fills: then a temporary file may stay, which
    readers ignore and `sweep` removes. Raises `Unavailable`, or `Refused` where the folder can never take it.
    """
    temporary = f".{path.stem}.{uuid.uuid4().hex}{TEMPORARY}"
    try:
        require_folder(within)
        for above in reversed(path.relative_to(within).parents[:-1]):
            _make_one(within / above)
        with _held(path.parent) as folder:
            if after and not _is_there(after, folder):
                raise Unavailable(_gone(path.parent, f"; {after}, the part before {path.name}, is not there"))
            try:
                hit_failpoint("before_write")
                _write(temporary, content, folder)
                hit_failpoint("after_fsync")
                if not _link(temporary, path, folder):
                    return False
                hit_failpoint("after_link")
                os.fsync(folder)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
    except PermissionError as error:
        message = f"{path} cannot be written ({error.strerror}); give this user the right to write in {path.parent}"
        raise Refused(message) from error
    except OSError as error:
        message = f"{path} could not be written ({error}); free space on or repair its disk: it will be tried again"
        raise Unavailable(message) from error
    return True


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _write(name: str, content: bytes, folder: int) -> None:
    mode = 0o666  # what the umask leaves of it, as `open` has it
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(temporary: str, path: Path, folder: int) -> bool:
    try:
        os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        # A network file system may lose the reply to a link that it made: then both names are one file.
        return os.path.samestat(os.stat(temporary, dir_fd=folder), os.stat(path.name, dir_fd=folder))
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        message = f"{path.parent} lies on a file system without hard links ({error.strerror}), which this log needs"
        raise Refused(message) from error
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    with _held(folder) as descriptor:
        os.fsync(descriptor)


def require_folder(folder: Path) -> None:
    """Raise `Unavailable` where a folder that was there is gone."""
    if not folder.is_dir():
        raise Unavailable(_gone(folder))


def _gone(folder: Path, found: str = "") -> str:
    return (
        f"the log's folder {folder} is gone: mount its disk again, or restore it from a copy{found}; it will be tried "
        "again (to begin a log anew, end the fleet and run: undertow apply)"
    )


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
