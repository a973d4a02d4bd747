"""The folder of an artifact: checked to be writable before the work, and published atomically after it.

In: a path, also in a store, and files. Out: a folder that appears complete. Knows nothing of what the files hold.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from undertow.core.errors import Refused
from undertow.core.publication import publish_folder
from undertow.storage.creation import create_object
from undertow.storage.store_path import AnyPath, StorePath

PROBE = "_probe"
"""Below an address, an object that shows that one can be written there; it is deleted again."""


def check_place(output: AnyPath) -> None:
    """Raise `Refused` if the folder exists or could not be created; leave nothing behind."""
    with _refusing(output):
        is_there = output.exists() if isinstance(output, StorePath) else _is_there(output)
    if is_there:
        message = f"{output} exists, and an artifact is never overwritten; choose another folder or remove it"
        raise Refused(message)
    if isinstance(output, StorePath):
        probe = output / PROBE / uuid.uuid4().hex
        with _refusing(output):
            probe.put_new(b"")
            probe.unlink(missing_ok=True)
        return
    new = [output, *(folder for folder in output.parents if not _is_there(folder))]
    with _refusing(output):
        try:
            _begin(output).rmdir()
            output.mkdir()
        finally:
            for folder in new:
                if _is_there(folder):
                    folder.rmdir()


def write(output: AnyPath, files: Mapping[str, bytes], check: Callable[[Path], None]) -> None:
    """Publish the folder atomically, synced to disk and after `check` accepted it, or not at all. Raises `Refused`.

    In a store the last of the files appears last, and so must be the one without which the others are no artifact.
    """
    with _refusing(output):
        partial = Path(tempfile.mkdtemp(prefix="undertow-pack-")) if isinstance(output, StorePath) else _begin(output)
        try:
            partial.chmod(0o755)
            for name, content in files.items():
                (partial / name).parent.mkdir(exist_ok=True)
                (partial / name).write_bytes(content)
            check(partial)
            if isinstance(output, StorePath):
                _create_objects(output, files)
            else:
                publish_folder(partial, output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _create_objects(output: StorePath, files: Mapping[str, bytes]) -> None:
    made: list[StorePath] = []
    try:
        for name, content in files.items():
            _create(output / name, content)
            made.append(output / name)
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _create(path: StorePath, content: bytes) -> None:
    if not create_object(path, content):
        message = f"{path} was written meanwhile by another; choose another address: --output"
        raise Refused(message)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)  # a dangling link counts


@contextlib.contextmanager
def _refusing(output: AnyPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename and str(error.filename) != str(output) else ""
        message = f"cannot write the artifact to {output}: {error.strerror}{where}; choose another folder: --output"
        raise Refused(message) from error


def _begin(output: Path) -> Path:
    """Create a temporary folder beside it, with a short name, since a longer one could exceed the system's limit."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".pack.", dir=output.parent))
