"""Validate paths in settings and options: on this machine, on a disk mounted there, or in an object store.

In: a value from a flag, the environment or TOML. Out: paths. Knows nothing of the files.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from undertow.storage.store_client import SCHEMES
from undertow.storage.store_path import AnyPath, StorePath

MOUNTS = Path("/proc/self/mountinfo")
LAYERED = {"overlay", "aufs", "fuse-overlayfs"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""At least two letters, since one could be a drive. One slash, since pathlib turns two into one."""


def require_local(given: Any) -> Any:
    """Return the value unchanged. Raises `ValueError` for an address, since `s3://...` would be a folder named `s3:`.

    Also for an empty text, which would be the working folder. The message does not repeat what follows a scheme: that
    may hold a password.
    """
    if isinstance(given, str) and not given.strip():
        message = "expected a path, found an empty text; the working folder is ."
        raise ValueError(message)
    if isinstance(given, str | Path) and "\0" in str(given):
        message = "expected a path, found a text with a zero byte in it, which no path has"
        raise ValueError(message)
    if isinstance(given, str | Path) and (found := _SCHEME.match(str(given))):
        message = (
            "expected a path on this machine, or on a disk that is mounted at it; found an address of the form "
            f"{found[1]}://..., which is not understood here"
        )
        raise ValueError(message)
    return given


def parse_place(given: Any) -> AnyPath:
    """Return the path of a folder here, or in an object store: `s3://bucket/folder`. Raises `ValueError`."""
    if isinstance(given, StorePath):
        return given
    if isinstance(given, str) and given.partition("://")[0] in SCHEMES:
        return StorePath.parse(given)
    if not isinstance(given, str | Path):
        message = "expected a path, as text"
        raise ValueError(message)  # noqa: TRY004 pydantic reports values, not types
    return Path(require_local(given))


AnyPlace = Annotated[
    AnyPath, PlainValidator(parse_place), PlainSerializer(lambda path: path if isinstance(path, Path) else str(path))
]
LocalPath = Annotated[Path, BeforeValidator(require_local)]


def goes_with_container(path: Path) -> bool:
    """Whether files at this path are lost with the container in which we run, because no volume is mounted there.

    False if that is unknown: outside of containers, and without Linux's table of mounts (proc_pid_mountinfo(5): the
    fifth field is the mount point, the first after the lone dash the type of the file system).
    """
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    mounts = {}
    for line in lines:
        before, _, behind = line.partition(" - ")
        mounts[Path(before.split()[4].replace("\\040", " "))] = behind.split()[0]
    found = path.absolute().resolve()
    mounted_at = next(place for place in (found, *found.parents, Path("/")) if place in mounts or place == Path("/"))
    return mounted_at == Path("/") and mounts.get(mounted_at) in LAYERED
