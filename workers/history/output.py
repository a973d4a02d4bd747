"""The file that a command writes where its user wants it.

In: a path. Out: a file to write to, which replaces that path at the end; errors of the disk in words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from undertow.core.errors import Refused
from undertow.core.publication import replacing


def make_folder_of(path: Path) -> None:
    """Make the folders above a path. Raises `Refused`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path} could not be written: {error}"
        raise Refused(message) from error


@contextmanager
def replacing_output(path: Path) -> Iterator[Path]:
    """Replace a file atomically at the end of the block. Raises `Refused`."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        message = f"{path} could not be written: {error}"
        raise Refused(message) from error
