"""The Parquet files of a history, on a disk or in an object store.

In: a file or a folder, or the address of either. Out: the files' names. Knows nothing of what they hold.
"""

from dataclasses import dataclass
from pathlib import Path

from undertow.core.errors import Refused, Unavailable
from undertow.core.parquet_files import IGNORED, SUFFIXES, find_files
from undertow.schemas.wording import counted
from undertow.storage.store_path import AnyPath, below

PIECE = ".observations"
"""The suffix of a piece, which is Parquet: what looks for files of the log by their suffix does not take it for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFiles:
    """What a history consists of."""

    folder: AnyPath
    names: tuple[str, ...]
    """Relative to the folder, in order."""
    left_out: tuple[str, ...] = ()
    """Why files were passed over."""


def history_folder(history: AnyPath) -> AnyPath:
    """Return the folder that chunks' paths are relative to. Raises `OSError`."""
    return history.parent if history.is_file() else history


def find_history(history: AnyPath) -> HistoryFiles:
    """Return the Parquet files of a history.

    In a store those count that are named as such: to see how an object begins it must be asked for.

    Raises `Refused` if there are none or some cannot be listed, `Unavailable`.
    """
    if isinstance(history, Path):
        found = find_files(history)
        return HistoryFiles(folder=found.folder, names=found.names, left_out=found.left_out)
    try:
        if history.is_file():
            return HistoryFiles(folder=history.parent, names=(history.name,))
        names = [below(path, history) for path in history.walk_objects()]
    except PermissionError as error:
        message = f"{history} cannot be read ({error.strerror}); see the section store of the settings"
        raise Refused(message) from error
    except OSError as error:
        message = f"{history} could not be listed ({error.strerror}); see the section store of the settings"
        raise Unavailable(message) from error
    taken = [name for name in names if _is_parquet(name)]
    left = len(names) - len(taken)
    left_out = (f"{counted(left, 'object')} that {'is' if left == 1 else 'are'} not named as Parquet",) if left else ()
    if not taken:
        beside = f"; left out: {left_out[0]}" if left_out else ""
        message = f"expected a Parquet object at {history}, or some below it, found none{beside}"
        raise Refused(message)
    return HistoryFiles(folder=history, names=tuple(sorted(taken)), left_out=left_out)


def find_pieces(folder: AnyPath) -> HistoryFiles:
    """Return the pieces of observations in a folder. Raises `Refused` if there are none."""
    names = sorted(path.name for path in folder.glob(f"*{PIECE}"))
    if not names:
        message = "expected observations, found files without rows"
        raise Refused(message)
    return HistoryFiles(folder=folder, names=tuple(names))


def _is_parquet(name: str) -> bool:
    is_hidden = any(part.startswith(IGNORED) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not is_hidden
