"""List the Parquet files of a history folder, recursively and through links; skipped files are reported.

In: a file or a folder. Out: relative paths, and a line for whatever was passed over. Knows nothing of what they hold.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from undertow.core.errors import Refused

SUFFIXES = (".parquet", ".pq", ".parq")
"""In any case. Files of other names, which Arrow would take too, are taken where they begin as Parquet does."""
MAGIC = b"PAR1"
IGNORED = (".", "_")  # as Spark and Arrow do: what others are still writing, and their notes
EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFiles:
    """What a folder of history holds."""

    folder: Path
    names: tuple[str, ...]
    """Parquet files, relative to the folder, in order."""
    left_out: tuple[str, ...] = ()
    """Why files were passed over, each with some of them."""


def history_folder(history: Path) -> Path:
    """Return the folder that chunks' paths are relative to."""
    return history.parent if history.is_file() else history


def find_files(history: Path) -> HistoryFiles:
    """Return the Parquet files of history. Raises `Refused` if there are none, or a folder cannot be read."""
    if history.is_file():
        return HistoryFiles(folder=history.parent, names=(history.name,))
    names: list[str] = []
    passed: dict[str, list[str]] = {}
    for path in _walk(history, passed):
        name = path.relative_to(history).as_posix()
        why = _why_not(path, name)
        if why is None:
            names.append(name)
        elif why:
            passed.setdefault(why, []).append(name)
    left_out = tuple(f"{len(some):,} {why} ({_shown(sorted(some))})" for why, some in sorted(passed.items()))
    if not names:
        beside = f"; left out: {'; '.join(left_out)}" if left_out else ""
        message = f"expected a Parquet file or a folder of them at {history}, found none{beside}"
        raise Refused(message)
    return HistoryFiles(folder=history, names=tuple(sorted(names)), left_out=left_out)


def _walk(history: Path, passed: dict[str, list[str]]) -> Iterator[Path]:
    """Yield all files, each folder's once: a link may lead to one that is there already, or to one above it."""
    seen = set()
    for folder, below, files in os.walk(history, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            passed.setdefault("links to folders that are there already", []).append(os.path.relpath(folder, history))
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        yield from (Path(folder, name) for name in files)


def _refuse(error: OSError) -> None:
    message = (
        f"{error.filename} cannot be read ({error.strerror}); give this user the right to read it, or move it away"
    )
    raise Refused(message) from error


def _why_not(path: Path, name: str) -> str | None:
    """Return why a file is left out, None where it is not; nothing for what nobody would miss."""
    is_named = name.lower().endswith(SUFFIXES)
    if any(part.startswith(IGNORED) for part in Path(name).parts):
        return "whose names or folders begin with a dot or an underscore" if is_named else ""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "that are no files"
        if is_named:
            return None
        with path.open("rb") as file:
            return None if file.read(len(MAGIC)) == MAGIC else "that are no Parquet"
    except FileNotFoundError:
        return "links that lead nowhere"
    except OSError:  # where it is one of Parquet, reading it will tell
        return None if is_named else "that cannot be read"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
