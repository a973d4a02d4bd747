"""Paths that settings and options name: on this machine, or on a disk that is mounted at it.

In: what flags, the environment or TOML gave. Out: paths. Knows nothing of what lies there.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

MOUNTS = Path("/proc/self/mountinfo")
LAYERED = {"overlay", "aufs", "fuse-overlayfs"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""A single letter would be a drive. pathlib has made one slash of two."""


def require_local(given: Any) -> Any:
    """Return what was given. Raises `ValueError` for an address: as a path, `s3://...` is a folder named `s3:`.

    So it does for an empty text, which as a path is the working folder. What follows a scheme is not repeated: it may
    hold a password.
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


LocalPath = Annotated[Path, BeforeValidator(require_local)]


def goes_with_container(path: Path) -> bool:
    """Whether what lies at this path is lost when the container that we run in is removed: no volume is mounted there.

    False where nothing tells: outside of containers, and on systems without Linux's table of mounts
    (proc_pid_mountinfo(5): the fifth field is where it is mounted, the first behind the lone dash what it is).
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
