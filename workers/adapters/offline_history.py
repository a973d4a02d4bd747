"""Which files hold the history of a view, each row once: the table, and the parts that are not in it yet.

In: a view's folder. Out: files, from one version of the table, the chains' parts from where that version ends on, and
the chunks of backfills that it lacks.
All who read history take their files from here. Knows neither what the rows hold nor who folds.

The table's version is read first, the chains after it. Parts are deleted long after a later version has them, so a
reader that finds its version's parts gone begins again with a newer one; no file is read twice, none is missed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from undertow.adapters.offline_batches import chunks_before, job_folders, last_batch, table_id
from undertow.adapters.offline_chains import TRIES, chain_folders, require_whole
from undertow.adapters.offline_folded import newest_mark
from undertow.adapters.offline_names import DELTA, PART_NAME, TABLE, part_name, part_names, position_of
from undertow.adapters.offline_parts import part_files, translated
from undertow.core.errors import Refused, UndertowError
from undertow.core.parquet_files import SUFFIX
from undertow.storage.at_once import at_once
from undertow.storage.copy_cache import drop_absent_copies
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import AnyPath, StorePath

Read = TypeVar("Read")
DELTA_LOG = "_delta_log"


def whole_parts(home: AnyPath) -> list[AnyPath]:
    """Return all files of a view's history: of the table, chains and backfills. Each row is in one of them.

    Raises `Refused` if a chain has a hole, or the table lacks what was folded into it.
    """
    return _files(home, require_whole)


def listed_parts(home: AnyPath) -> list[AnyPath]:
    """Return the same files, whether or not a chain has a hole."""
    return _files(home, _list_chains)


def with_parts(
    home: AnyPath, read: Callable[[list[AnyPath]], Read], *, parts: Callable[[AnyPath], list[AnyPath]] = whole_parts
) -> Read:
    """Call `read` with the files of a view's history; again with a new listing if one has vanished meanwhile.

    A maintainer deletes what has been in the table, or was replaced in it, for a while: see `undertow maintain`. Who
    forgets series rewrites parts in their places.
    """
    for left in reversed(range(TRIES)):
        files = parts(home)
        before = _identities(files)
        try:
            return read(files)
        except (UndertowError, OSError):
            if not left or (all(path.exists() for path in files) and _identities(files) == before):
                raise
    raise AssertionError  # the last try returns or raises


def _identities(files: list[AnyPath]) -> list[tuple[int, int] | None]:
    """Return which files these are now; of objects, which are copied whole, nothing is asked."""
    return [_identity(path) if isinstance(path, Path) else None for path in files]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def with_local_parts(
    home: AnyPath, read: Callable[[list[Path]], Read], *, parts: Callable[[AnyPath], list[AnyPath]] = whole_parts
) -> Read:
    """Do so with files on a disk: copies of those in a store, which are deleted at the end."""

    def read_copies(files: list[AnyPath]) -> Read:
        if isinstance(home, StorePath):
            drop_absent_copies(home, (path for path in files if isinstance(path, StorePath)))
        with local_copies(files) as copies:
            return read(copies)

    return with_parts(home, read_copies, parts=parts)


def table_files(home: AnyPath) -> list[AnyPath]:
    """Return the files of the newest version of a view's table; none if nothing was folded."""
    return _read_table(home)[0]


def folded_until(home: AnyPath, folder: AnyPath) -> int:
    """Return the position at which the newest version of the table ends a chain.

    Raises `Refused` if it has less of it than the chain notes, `Unavailable`.
    """
    end = _read_table(home)[1](folder)
    if end < _noted(folder):
        raise _lacks(home, folder, end)
    return end


def job_ends(home: AnyPath) -> Callable[[AnyPath], int]:
    """Return a function from a job's folder to the batch from which the table, as it is now, lacks the job.

    It raises `Refused` where the job's notes and the table are of different copies, `Unavailable`.
    """
    folded = _read_table(home)[1]

    def end_of(folder: AnyPath) -> int:
        end = folded(folder)
        with translated(folder):
            last = last_batch(folder)  # after the table: a batch is noted before that has it
        if end > last + 1:
            message = (
                f"the table of history in {home / TABLE} has the job in {folder} up to batch {end - 1}, and its notes "
                f"end at {last}: it was deleted, or restored from another copy; restore it from the table's, or move "
                "it out of the log and backfill under another --job"
            )
            raise Refused(message)
        return end

    return end_of


def has_table(home: AnyPath) -> bool:
    """Whether this view has a table: one that was being made when its maintainer was killed has no version yet."""
    return any((home / TABLE / DELTA_LOG).glob("*.json"))


def delta_folder(home: AnyPath) -> AnyPath:
    """Return the folder of the Delta log of a view's table.

    It is not below the view's folder, where Feast's DuckDB would take its checkpoints for parts; a link, which that
    does not follow, leads to it. A store has no links: there it is where Delta Lake has it.
    """
    return home.parent / DELTA / home.name if isinstance(home, Path) else home / TABLE / DELTA_LOG


def _files(home: AnyPath, list_chains: Callable[[AnyPath], Mapping[AnyPath, list[str]]]) -> list[AnyPath]:
    for _ in range(TRIES):
        table, folded = _read_table(home)
        listed = list_chains(home)
        jobs = job_folders(home)
        paths = part_files(home)
        folders = [*listed, *jobs]
        ends = dict(zip(folders, at_once(folded, folders), strict=True))
        noted = dict(zip(folders, at_once(_noted, folders), strict=True))  # after the listing: see `undertow maintain`
        if all(noted[folder] <= end for folder, end in ends.items()):
            break
    else:
        folder = next(folder for folder, end in ends.items() if noted[folder] > end)
        raise _lacks(home, folder, ends[folder])
    for folder, names in listed.items():
        if (end := ends[folder]) and part_name(end) not in names:
            message = (
                f"the chain in {folder} and the table of history in {home / TABLE} do not fit: expected a part at "
                f"{end}, up to which the table has this chain, found none: one of them was restored from another copy"
            )
            raise Refused(message)
    chunks = {path for path in paths if path.parent in ends and path.parent not in listed}
    in_table = {
        folder / f"{name}{SUFFIX}"
        for folder in {path.parent for path in chunks}
        for name in chunks_before(folder, ends[folder])
    }
    others = [path for path in paths if path not in in_table and not (path.parent in listed and PART_NAME(path.name))]
    tail = [folder / name for folder, names in listed.items() for name in names if position_of(name) >= ends[folder]]
    return sorted([*table, *others, *tail])


def _lacks(home: AnyPath, folder: AnyPath, end: int) -> Refused:
    return Refused(
        f"the table of history in {home / TABLE} lacks what was folded into it: expected {folder} up "
        f"to {_noted(folder)}, found it up to {end}; restore {home / TABLE} and {delta_folder(home)} from the same copy"
    )


def _read_table(home: AnyPath) -> tuple[list[AnyPath], Callable[[AnyPath], int]]:
    """Return the files of the table's newest version, and a function from a chain's folder to where that ends."""
    if not has_table(home):
        return [], lambda _: 0
    # Delta Lake takes a second to import, which most logs never need.
    from undertow.adapters.offline_table_version import read_version  # noqa: PLC0415

    version = read_version(home / TABLE)

    def folded(folder: AnyPath) -> int:
        known = table_id(folder, home)
        return version.folded(known) if known else 0

    return version.files, folded


def _noted(folder: AnyPath) -> int:
    with translated(folder):
        return newest_mark(folder).position


def _list_chains(home: AnyPath) -> dict[AnyPath, list[str]]:
    folders = chain_folders(home)
    return dict(zip(folders, at_once(_names, folders), strict=True))


def _names(folder: AnyPath) -> list[str]:
    with translated(folder):
        return part_names(folder)
