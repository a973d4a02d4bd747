"""List the Parquet files below a folder: one walk for history, for windows to fit on and for the offline log.

In: a file or a folder. Out: relative paths in order, and a line for what was passed over. Knows nothing of what they
hold.

Links are followed, each folder is entered once, and one that cannot be read is an error: what lies there would be
missed. Paths are in the order of their text. What counts is a rule of its own for files that others wrote and for
those of the offline log, where a name is ours and a copy under another one must not count twice.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from undertow.core.errors import Refused

SUFFIX = ".parquet"
"""Of every file of the log; nothing under a temporary name has it."""
SUFFIXES = (SUFFIX, ".pq", ".parq")
"""Of others, in any case. Files of other names, which Arrow would take too, are taken where they begin as Parquet."""
MAGIC = b"PAR1"
IGNORED = (".", "_")  # as Spark and Arrow do: what others are still writing, and their notes
EXAMPLES = 5

Rule = Callable[[Path, str], str | None]
"""From a path, and its name below the folder, to why it does not count: None where it does, no text where nobody would
miss it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetFiles:
    """What a folder holds."""

    folder: Path
    names: tuple[str, ...]
    """Parquet files, relative to the folder, in order."""
    left_out: tuple[str, ...] = ()
    """Why files were passed over, each with some of them."""

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.folder / name for name in self.names]


def find_files(history: Path) -> ParquetFiles:
    """Return the Parquet files of history. Raises `Refused` if there are none, or a folder cannot be read."""
    if history.is_file():
        return ParquetFiles(folder=history.parent, names=(history.name,))
    try:
        found = find(history, of_others)
    except OSError as error:
        message = (
            f"{error.filename} cannot be read ({error.strerror}); give this user the right to read it, or move it away"
        )
        raise Refused(message) from error
    if not found.names:
        beside = f"; left out: {'; '.join(found.left_out)}" if found.left_out else ""
        message = f"expected a Parquet file or a folder of them at {history}, found none{beside}"
        raise Refused(message)
    return found


def find(folder: Path, rule: Rule) -> ParquetFiles:
    """Return the files below a folder that a rule counts. Raises `OSError` where a folder cannot be read."""
    names: list[str] = []
    passed: dict[str, list[str]] = {}
    for path in _walk(folder, passed):
        name = path.relative_to(folder).as_posix()
        why = rule(path, name)
        if why is None:
            names.append(name)
        elif why:
            passed.setdefault(why, []).append(name)
    left_out = tuple(f"{len(some):,} {why} ({_shown(sorted(some))})" for why, some in sorted(passed.items()))
    return ParquetFiles(folder=folder, names=tuple(sorted(names)), left_out=left_out)


def of_the_log(path: Path, _: str) -> str | None:
    """Count files of our name; one that begins with a dot is another program's note on it. No folder is hidden.

    Topics may be called `.a` or `_a`.
    """
    return None if path.name.endswith(SUFFIX) and not path.name.startswith(".") and path.is_file() else ""


def of_others(path: Path, name: str) -> str | None:
    """Count whatever Arrow would read as Parquet."""
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


def _walk(top: Path, passed: dict[str, list[str]]) -> Iterator[Path]:
    """Yield all files, each folder's once: a link may lead to one that is there already, or to one above it."""
    seen = set()
    for folder, below, files in os.walk(top, followlinks=True, onerror=_raise):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            passed.setdefault("links to folders that are there already", []).append(os.path.relpath(folder, top))
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        yield from (Path(folder, name) for name in files)


def _raise(error: OSError) -> None:
    raise error


def _shown(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
