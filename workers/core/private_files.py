"""Create folders and files that only their owner may read.

In: paths. Out: folders and files with no rights for others. Knows nothing of what is kept in them.
"""

import os
import secrets
import stat
from pathlib import Path

from undertow.core.errors import Refused
from undertow.core.publication import create_file

OURS = ".undertow"
"""The default folder of the commands, for data, models and logs."""
_OTHERS = 0o077


def make_folder(path: Path) -> None:
    """Create a folder and its parents; one named `OURS` is created private (mode 0700). Raises `OSError`."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700 if folder.name == OURS else 0o777, exist_ok=True)


def cache_folder() -> Path:
    """Return our private folder in the user's cache, created or repaired if need be. Raises `OSError`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    close_to_others(folder)
    return folder


def close_to_others(path: Path) -> bool:
    """Remove the rights of group and others; return whether they had any. Raises `OSError`."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        path.chmod(mode & ~_OTHERS)
    return bool(mode & _OTHERS)


def keep_secret(path: Path, setting: str) -> bool:
    """Ensure that a file with a random secret exists, readable by its owner alone, in a private folder.

    Return whether others could read the secret until now. Raises `Refused`, which names the setting.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        close_to_others(path.parent)
        if not path.exists():
            create_file(path, secrets.token_hex(32).encode(), mode=0o600)  # where another was first, its secret stays
        return close_to_others(path)
    except OSError as error:
        message = f"expected {path} to be ours to write and to close to others, but: {error.strerror} (see {setting})"
        raise Refused(message) from error
