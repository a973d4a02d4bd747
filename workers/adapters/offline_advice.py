"""What is to be done about a file of the log that cannot be read, by where it lies.

In: a path. Out: errors and sentences. Opens no file.
"""

import shlex
import sys

from undertow.adapters.offline_names import BACKFILLS, PART_NAME, SEED, TABLE
from undertow.core.errors import Refused
from undertow.core.parquet_files import SUFFIX
from undertow.storage.store_path import AnyPath, containing


def without_it(path: AnyPath) -> str:
    """Return what to do about a damaged file, with a copy and without one; for a folder in a file's place as well."""
    again = "restore it from a copy, or "
    if path.suffix != SUFFIX:  # a note
        return "restore it from a copy"
    if path.parent.parent.name == BACKFILLS:
        job = shlex.quote(path.parent.name)
        return (
            f"{again}move it away and start its job again, which embeds that part of the history once more: undertow "
            f"backfill HISTORY --job {job}"
        )
    if TABLE in path.parts:
        code = shlex.quote(f"from deltalake import DeltaTable; DeltaTable({str(containing(path, TABLE))!r}).repair()")
        command = f"{shlex.quote(sys.executable)} -c {code}"
        return f"restore it from a copy; to go on without its rows, for ever, move it away and run: {command}"
    if path.name == SEED:
        return f"{again}move it away: undertow apply writes it again, it has no rows"
    if PART_NAME(path.name) and path.parent.name.isdigit():
        return (
            f"{again}move it out of the folder: if it is the last of its chain, its records are then read again; to go "
            "on without another one, for ever: undertow apply --accept-lost"
        )
    return "move it out of the folder: undertow writes no file of this name there"


def gone_chunk(path: AnyPath) -> str:
    """Return what to do about a chunk of a backfill that is lost before the table of history had it."""
    return (
        f"{path} is gone, before the table of history had it: restore it from a copy, or start its job again, which "
        f"embeds it once more: undertow backfill HISTORY --job {shlex.quote(path.parent.name)}"
    )


def alien(path: AnyPath) -> Refused:
    """Return the error about a Parquet file that another program wrote."""
    return Refused(
        f"{path} is of another program: expected a file that undertow wrote, found Parquet without its metadata or "
        f"columns; {without_it(path)}"
    )


def no_file(path: AnyPath) -> Refused:
    """Return the error about a folder in the place of a file."""
    return Refused(f"{path} is a folder, expected a file; {without_it(path)}")
