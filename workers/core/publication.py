"""Publish a file or a folder: under its name at once, whole and durable, or not at all. All that write use this.

In: a path, and what it shall hold. Out: whether it is ours. Knows nothing of what is inside, and no reader.

1. It is written beside its place, since a rename works within one file system, under a name that begins with a dot,
   ends with `TEMPORARY` and does not grow with the other, which may be as long as a name can be.
2. A file is synced before it gets its name, the folder after that: else a crash of the machine may leave an empty file.
3. `replace` renames: of two writers the later stays. `create` makes a hard link: of two the earlier stays.
4. A new file has the rights that the umask leaves, as with `open`; one that replaces another has the other's.
5. Whatever fails, the old content stays, whole, and the temporary file goes. A writer that is killed leaves its own.
"""

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

CreationStep = Literal["before_write", "after_fsync", "after_link"]
AtStep = Callable[[CreationStep], object]
"""Called at each step of a creation, where a chaos run stops, or a test fails. May raise `OSError`."""

Content = bytes | memoryview
"""What a file shall hold: also the memory of another one."""
TEMPORARY = ".tmp"
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
NO_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})
"""Of a folder, on file systems that know no such thing: then there is nothing to wait for."""


class NoHardLinksError(OSError):
    """The file system has no hard links, so that nothing can be created whole."""


def replace_file(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """Make `path` hold `content`, whatever it held. Raises `OSError`.

    Without `is_durable` nothing waits for the disk: for what has no worth after a crash of the machine, whose readers
    must then take an empty file for none.
    """
    with replacing(path, is_durable=is_durable) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path, *, is_durable: bool = True) -> Iterator[Path]:
    """Give a file to write to, empty; at the end of the block it replaces `path`. Raises `OSError`."""
    temporary = path.parent / temporary_name()
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                temporary.chmod(stat.S_IMODE(status.st_mode))
        if is_durable:
            _sync(temporary)
        temporary.replace(path)
        if is_durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def create_file(path: Path, content: bytes, *, mode: int = 0o666) -> bool:
    """Make `path` hold `content`; return False, having changed nothing, where it is there already.

    `mode` is what the umask may take from. Raises `OSError`, `NoHardLinksError`.
    """
    with held(path.parent) as folder:
        return create_in(folder, path.name, content, mode=mode)


def create_in(folder: int, name: str, content: Content, *, mode: int = 0o666, at_step: AtStep = lambda _: None) -> bool:
    """Do so in a folder that is held open: the very one, even if another is mounted over its path meanwhile."""
    temporary = temporary_name()
    try:
        at_step("before_write")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        at_step("after_fsync")
        if not _link(temporary, name, folder):
            return False
        at_step("after_link")
        _sync_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
    return True


def replace_in(folder: int, name: str, content: Content, *, was: os.stat_result) -> bool:
    """Replace a file in a folder that is held open; return False, having changed nothing, if it is not the same one."""
    temporary = temporary_name()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(was.st_mode), dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), stat.S_IMODE(was.st_mode))  # whatever the umask is
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            if not os.path.samestat(os.stat(name, dir_fd=folder), was):
                return False
        except FileNotFoundError:
            return False
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        _sync_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
    return True


def publish_folder(made: Path, path: Path) -> None:
    """Give a folder that is complete, on the same file system, its name. Raises `OSError` where that one has files."""
    for folder, _, files in os.walk(made, onerror=_raise):
        for name in files:
            _sync(Path(folder, name))
        sync_folder(Path(folder))
    made.rename(path)
    sync_folder(path.parent)


def temporary_name() -> str:
    """Return a name that nobody else has."""
    return f".{uuid.uuid4().hex}{TEMPORARY}"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int]:
    """Hold a folder open, by its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises `OSError`."""
    with held(folder) as descriptor:
        _sync_folder(descriptor)


def _sync_folder(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(temporary: str, name: str, folder: int) -> bool:
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        # A network file system may lose the reply to a link that it made: then both names are one file.
        return os.path.samestat(os.stat(temporary, dir_fd=folder), os.stat(name, dir_fd=folder))
    except OSError as error:
        if error.errno in NO_LINKS:
            raise NoHardLinksError(*error.args) from error
        raise
    return True


def _raise(error: OSError) -> None:
    raise error
