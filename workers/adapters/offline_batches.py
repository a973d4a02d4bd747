"""Which chunks of a backfill's job go into the table of history together: notes beside the chunks.

In: a job's folder. Out: batches. A batch is noted before the table has it, is created once and never changed, so two
maintainers put the same chunks into it, and whoever reads knows which chunks a version of the table has. Knows no
table.

A job is a chain whose parts are batches: a batch's number is its position, and `offline_folded` keeps up to which one
the table has the job. Notes stay when the files of chunks are deleted: by them a job that is run again knows what is
done.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_folded import chain_id, newest_mark
from undertow.adapters.offline_names import BACKFILLS
from undertow.adapters.offline_parts import translated
from undertow.core.errors import Refused
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath, below

FOLDER = "_batches"
"""Readers of Parquet ignore folders that begin with an underscore."""
NOTE_NAME = re.compile(r"[0-9]{20}\.json").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBatch:
    """Chunks that one transaction puts into the table."""

    number: int
    """From 1 on, without a gap."""
    chunks: Mapping[str, int]
    """The names of their parts, without suffix, each with the `created_us` with which it ends."""


def job_folders(home: AnyPath) -> list[AnyPath]:
    """Return the folders of a view's backfill jobs. Raises `Refused`, `Unavailable`."""
    with translated(home / BACKFILLS):
        found: list[AnyPath] = [*home.glob(f"{BACKFILLS}/*")]
        are_folders = at_once(lambda folder: folder.is_dir(), found)
    return sorted(folder for folder, is_folder in zip(found, are_folders, strict=True) if is_folder)


def is_chunk(path: AnyPath, home: AnyPath) -> bool:
    """Whether this is a chunk of a backfill, or a folder of them."""
    return below(path, home).startswith(f"{BACKFILLS}/")


def table_id(folder: AnyPath, home: AnyPath) -> str:
    """Return by which id the table knows a chain or a job; empty if a chain was never folded.

    A chain's is its nonce, since the same folder may hold another one later. A job's is its name: were it begun anew
    under that name, or restored from an older copy, the table would tell. Raises `Refused`, `Unavailable`.
    """
    if is_chunk(folder, home):
        return below(folder, home)
    with translated(folder):
        return chain_id(folder)


def last_batch(folder: AnyPath) -> int:
    """Return the number of a job's newest batch; 0 if it has none. Raises `Refused` for a missing note, `OSError`."""
    names = _names(folder)
    for number, name in enumerate(names, start=1):
        if name != _name(number):
            message = f"{folder / FOLDER / _name(number)} is gone, though later ones are there; restore it from a copy"
            raise Refused(message)
    return len(names)


def read_batches(folder: AnyPath, numbers: Iterable[int]) -> list[ChunkBatch]:
    """Return batches of a job. Raises `Refused` for a note that is damaged or gone, `Unavailable`."""
    return at_once(_read, [folder / FOLDER / _name(number) for number in numbers])


def add_batch(folder: AnyPath, batch: ChunkBatch) -> None:
    """Note it, durable on return; keep what is noted under the same number. Raises as `publish`."""
    publish(folder / FOLDER / _name(batch.number), json.dumps({"chunks": batch.chunks}).encode(), within=folder)


def chunks_before(folder: AnyPath, number: int) -> dict[str, int]:
    """Return the chunks of all batches before a number, as a batch has them. Raises as `read_batches`."""
    found: dict[str, int] = {}
    for batch in read_batches(folder, range(1, number)):
        found |= batch.chunks
    return found


def folded_chunks(folder: AnyPath) -> dict[str, int]:
    """Return the chunks of a job that are noted as being in the table, whether or not their files are still there.

    Raises as `read_batches`.
    """
    with translated(folder):
        noted = newest_mark(folder).position
    return chunks_before(folder, noted)


def _names(folder: AnyPath) -> list[str]:
    try:
        return sorted(filter(NOTE_NAME, (path.name for path in (folder / FOLDER).iterdir())))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _name(number: int) -> str:
    return f"{number:020d}.json"


def _read(note: AnyPath) -> ChunkBatch:
    with translated(note):
        try:
            chunks = {str(name): int(us) for name, us in json.loads(note.read_bytes())["chunks"].items()}
        except FileNotFoundError as error:
            message = f"{note} is gone, though the table of history has its chunks; restore it from a copy"
            raise Refused(message) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{note} is damaged ({error}); restore it from a copy"
            raise Refused(message) from error
    return ChunkBatch(number=int(note.stem), chunks=chunks)
