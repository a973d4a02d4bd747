"""Copies of objects in a folder, for libraries that read files: DuckDB, and Arrow's datasets.

In: paths of either kind. Out: paths of files, in the same order; those of a disk as they are. Knows nothing of the
content, whose checksum is its reader's matter.
"""

import contextlib
import errno
import logging
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from undertow.core.errors import UndertowError
from undertow.storage.copy_cache import CopyCache
from undertow.storage.store_path import AnyPath, StorePath

log = logging.getLogger(__name__)

FETCHERS = 16
"""Objects fetched at once: a store answers each in tens of milliseconds, whatever else it does. A choice."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def local_copies(files: Sequence[AnyPath], *, is_cached: bool = True) -> Iterator[list[Path]]:
    """Give a file for each path until the block ends. Raises `OSError` for an object that cannot be fetched.

    Objects may come from the cache on this disk, unless they are to be fetched whatever is there. Errors of ours that
    name a copy are raised with the address of its object, which is fetched anew the next time.
    """
    objects = [path for path in files if isinstance(path, StorePath)]
    if not objects:
        yield [path for path in files if isinstance(path, Path)]
        return
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="undertow-copies-")))
        cache, links = _open_cache(objects[0].options.cache_bytes if is_cached else 0, held)
        fetch = partial(_fetch, folder=folder, cache=cache, links=links)
        with ThreadPoolExecutor(FETCHERS) as fetchers:
            copies = [*fetchers.map(fetch, files, map(str, range(len(files))))]
        try:
            yield copies
        except UndertowError as error:
            if cache is not None:
                cache.drop(objects)
            raise type(error)(_with_addresses(str(error), copies, files)) from error


def _open_cache(cache_bytes: int, held: contextlib.ExitStack) -> tuple[CopyCache | None, Path | None]:
    if cache_bytes:
        try:
            cache = CopyCache(cache_bytes)
            return cache, held.enter_context(cache.open_folder())
        except OSError as error:
            log.warning("objects are copied to the temporary folder, not to the cache: %s (store.cache_bytes)", error)
    return None, None


def _with_addresses(text: str, copies: Sequence[Path], files: Sequence[AnyPath]) -> str:
    """Name what was copied where an error names a copy, which is gone when it is read."""
    for copy, path in zip(copies, files, strict=True):
        text = text.replace(str(copy), str(path))
    return text


def _fetch(path: AnyPath, number: str, *, folder: Path, cache: CopyCache | None, links: Path | None) -> Path:
    if isinstance(path, StorePath) and cache is not None and links is not None:
        copy = links / number / path.name
        try:
            copy.parent.mkdir()
            cache.fetch(path, copy)
        except OSError as error:
            if error.errno not in FULL:
                raise
            copy.unlink(missing_ok=True)
            log.warning("%s is copied to the temporary folder: the cache's disk is full (store.cache_bytes)", path)
        else:
            return copy
    copy = folder / number / path.name
    copy.parent.mkdir()
    if isinstance(path, StorePath):
        with copy.open("wb") as file:
            file.writelines(path.read_pieces())
    else:
        copy.symlink_to(path.absolute())
    return copy
