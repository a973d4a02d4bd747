"""Copies of objects that stay on this machine's disk, so that what did not change is fetched once.

In: a folder of ours, how many bytes may stay, paths in a store. Out: files, as hard links in a folder of the caller's.
Knows nothing of the content. Several processes may use one folder, and each may die at any time.

An object's copies lie in a folder of its own, named by its address, each under a digest of what the store says of that
version: one that was replaced is fetched anew. A copy gets its name when it is whole. Whoever reads one holds a link to
it, so that it may be dropped meanwhile.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from undertow.core.private_files import cache_folder
from undertow.core.publication import held
from undertow.storage.store_path import StorePath

STARTING_S = 60.0
"""A folder of links that is younger may belong to a process that has not locked it yet. A choice, far above it."""


class CopyCache:
    """The cache of one user on one machine."""

    def __init__(self, cache_bytes: int) -> None:
        """Make its folders, and remove the links of processes that died. Raises `OSError`."""
        self._most, root = cache_bytes, cache_folder() / "objects"
        self._copies, self._links = root / "copies", root / "links"
        for folder in (root, self._copies, self._links):
            folder.mkdir(mode=0o700, exist_ok=True)
        for left in self._links.iterdir():
            _sweep(left)

    @contextlib.contextmanager
    def open_folder(self) -> Iterator[Path]:
        """Give a folder for links; at the end of the block it goes, and so do copies that are too many. `OSError`."""
        with tempfile.TemporaryDirectory(dir=self._links) as folder, held(Path(folder)) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield Path(folder)
        self._evict()

    def fetch(self, path: StorePath, copy: Path) -> None:
        """Make `copy`, in a folder for links, hold the object. Raises `OSError`."""
        place = self._folder(path) / _digest(path.stamp())
        with contextlib.suppress(OSError):
            os.link(place, copy)
            os.utime(place)
            return
        stamp, pieces = path.read_stamped()
        with copy.open("xb") as file:
            file.writelines(pieces)
        place = place.with_name(_digest(stamp))
        with contextlib.suppress(OSError):  # it is there already, or cannot stay: the caller has its own
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in _files(place.parent):
                old.unlink(missing_ok=True)
            os.link(copy, place)

    def drop(self, paths: Iterable[StorePath]) -> None:
        """Drop the copies of these objects."""
        for path in paths:
            for copy in _files(self._folder(path)):
                copy.unlink(missing_ok=True)

    def drop_absent(self, prefix: StorePath, present: Iterable[StorePath]) -> None:
        """Drop the copies of objects below a prefix that are not among those that are present."""
        kept = {self._folder(path) for path in present}
        for copy in _walk(self._folder(prefix)):
            if copy.parent not in kept:
                copy.unlink(missing_ok=True)

    def _folder(self, path: StorePath) -> Path:
        return self._copies / _digest(f"{path.options.endpoint} {path.bucket}") / path.key

    def _evict(self) -> None:
        found = []
        for copy in _walk(self._copies):
            with contextlib.suppress(FileNotFoundError):
                status = copy.stat()
                found.append((status.st_mtime, status.st_size, copy))
        left = sum(size for _, size, _ in found)
        for _, size, copy in sorted(found):
            if left <= self._most:
                break
            copy.unlink(missing_ok=True)
            left -= size


def drop_absent_copies(prefix: StorePath, present: Iterable[StorePath]) -> None:
    """Drop what is cached of objects that are no longer below a prefix; nothing where nothing is cached."""
    if prefix.options.cache_bytes:
        with contextlib.suppress(OSError):  # no cache can be had: then there are no copies
            CopyCache(prefix.options.cache_bytes).drop_absent(prefix, present)


def _sweep(folder: Path) -> None:
    """Remove a folder of links that no living process holds."""
    with contextlib.suppress(OSError), held(folder) as descriptor:
        if time.time() - os.fstat(descriptor).st_mtime > STARTING_S:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _walk(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
