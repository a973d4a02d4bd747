"""The folder of an artifact: checked to be writable before the work, and published atomically after it.

In: a path and files. Out: a folder that appears complete. Knows nothing of what the files hold.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from undertow.core.errors import Refused
from undertow.core.publication import publish_folder


def check_place(output: Path) -> None:
    """Raise `Refused` if the folder exists or could not be created; leave nothing behind."""
    if _is_there(output):
        message = f"{output} exists, and an artifact is never overwritten; choose another folder or remove it"
        raise Refused(message)
    new = [output, *(folder for folder in output.parents if not _is_there(folder))]
    with _refusing(output):
        try:
            _begin(output).rmdir()
            output.mkdir()
        finally:
            for folder in new:
                if _is_there(folder):
                    folder.rmdir()


def write(output: Path, files: Mapping[str, bytes], check: Callable[[Path], None]) -> None:
    """Publish the folder atomically, synced to disk and after `check` accepted it, or not at all. Raises `Refused`."""
    with _refusing(output):
        partial = _begin(output)
        try:
            partial.chmod(0o755)
            for name, content in files.items():
                (partial / name).parent.mkdir(exist_ok=True)
                (partial / name).write_bytes(content)
            check(partial)
            publish_folder(partial, output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)  # a dangling link counts


@contextmanager
def _refusing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename and Path(error.filename) != output else ""
        message = f"cannot write the artifact to {output}: {error.strerror}{where}; choose another folder: --output"
        raise Refused(message) from error


def _begin(output: Path) -> Path:
    """Create a temporary folder beside it, with a short name, since a longer one could exceed the system's limit."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".pack.", dir=output.parent))
