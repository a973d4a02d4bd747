"""Copies of objects in a folder, for libraries that read files: DuckDB, and Arrow's datasets.

In: paths of either kind. Out: paths of files, in the same order; those of a disk as they are. Knows nothing of the
content, whose checksum is its reader's matter.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from undertow.core.errors import UndertowError
from undertow.storage.store_path import AnyPath, StorePath

FETCHERS = 16
"""Objects fetched at once: a store answers each in tens of milliseconds, whatever else it does. A choice."""


@contextlib.contextmanager
def local_copies(files: Sequence[AnyPath]) -> Iterator[list[Path]]:
    """Give a file for each path until the block ends. Raises `OSError` for an object that cannot be fetched.

    Errors of ours that name a copy are raised with the address of its object.
    """
    objects = [path for path in files if isinstance(path, StorePath)]
    if not objects:
        yield [path for path in files if isinstance(path, Path)]
        return
    with tempfile.TemporaryDirectory(prefix="undertow-copies-") as folder:
        copies = [Path(folder, str(number), path.name) for number, path in enumerate(files)]
        with ThreadPoolExecutor(FETCHERS) as fetchers:
            for _ in fetchers.map(_fetch, files, copies):
                pass
        try:
            yield copies
        except UndertowError as error:
            raise type(error)(_with_addresses(str(error), copies, files)) from error


def _with_addresses(text: str, copies: Sequence[Path], files: Sequence[AnyPath]) -> str:
    """Name what was copied where an error names a copy, which is gone when it is read."""
    for copy, path in zip(copies, files, strict=True):
        text = text.replace(str(copy), str(path))
    return text


def _fetch(path: AnyPath, copy: Path) -> None:
    copy.parent.mkdir()
    if isinstance(path, StorePath):
        with copy.open("wb") as file:
            file.writelines(path.read_pieces())
    else:
        copy.symlink_to(path.absolute())
