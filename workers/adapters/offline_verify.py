"""Verify the whole log: read every file and check its seal, and what the notes beside the files say.

In: the log's folder. Out: how much was read, and a sentence for each fault; a file that is damaged is told once,
whoever else needs it. Changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow.parquet as pq

from undertow.adapters.offline_advice import alien, gone_chunk, no_file, without_it
from undertow.adapters.offline_batches import job_folders, last_batch, read_batches
from undertow.adapters.offline_chains import MEND, chain_folders, find_holes, gone_chains
from undertow.adapters.offline_folded import newest_mark
from undertow.adapters.offline_footers import folded_parts
from undertow.adapters.offline_history import job_ends, listed_parts, table_files
from undertow.adapters.offline_names import BACKFILLS, DELTA, SEED, TABLE, part_names
from undertow.adapters.offline_parts import READERS, is_intact, part_files, read_metadata, translated
from undertow.adapters.offline_root import read_nonce, read_owner
from undertow.core.errors import Refused, UndertowError
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.embeddings import LOG_COLUMNS
from undertow.schemas.wording import counted
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import AnyPath, containing


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of reading a log."""

    files: int
    size: int
    """Bytes."""
    unsealed: int
    """The number of files of earlier versions, without a checksum: they are readable, but damage may go unnoticed."""
    faults: tuple[str, ...]

    def __str__(self) -> str:
        """Return the summary in words."""
        told = (
            f"{counted(self.files, 'file')} of {self.size / 1e6:,.1f} MB read whole, "
            f"{counted(len(self.faults), 'fault')}"
        )
        if self.unsealed:
            told += f"; {self.unsealed:,} of them were written by an earlier version, without checksums"
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The result of reading one file."""

    path: AnyPath
    said: str
    size: int = 0
    fault: str = ""


def verify(root: AnyPath) -> Verified:
    """Read all parts of all views, several at once, and check that no chain and no table lacks any.

    Raises `Refused` for a folder that we may not read, `Unavailable`.
    """
    homes = sorted(path for path in root.glob("*") if path.is_dir() and path.name != DELTA)
    tables: list[AnyPath] = []
    told: list[str] = []
    for home in homes:
        told += _tried(partial(_add_files, home, tables))
    of_views = (path for path in part_files(root) if path.parent != root)  # nobody reads what lies beside their folders
    files = sorted({*of_views, *tables, *(path for home in homes for path in _listed(home))})
    with ThreadPoolExecutor(READERS) as readers:
        seen = list(readers.map(_look, files))
    told += [one.fault for one in seen if one.fault]
    bad = [f"{one.path}" for one in seen if one.fault]
    others = [*_tried(lambda: read_nonce(root)), *(fault for home in homes for fault in _faults(home))]
    told += [fault for fault in others if not any(path in fault for path in bad)]
    counts = Counter(one.said for one in seen)
    return Verified(
        files=counts.total() - counts["gone"],
        size=sum(one.size for one in seen),
        unsealed=counts["unsealed"],
        faults=tuple(dict.fromkeys(told)),
    )


def _add_files(home: AnyPath, tables: list[AnyPath]) -> None:
    tables += table_files(home)


def _look(path: AnyPath) -> _Seen:
    try:
        said = _read(path)
        return _Seen(path=path, said=said, size=path.stat().st_size)
    except (UndertowError, OSError) as error:
        if not (path.is_symlink() or path.exists()) and not _is_missed(path):
            return _Seen(path=path, said="gone")  # folded, merged or expired meanwhile
        return _Seen(path=path, said="damaged", size=_size(path), fault=str(error))


def _read(path: AnyPath) -> str:
    """Return how a file was written. Raises `Refused` for one that is damaged or not of the log, `Unavailable`."""
    if path.is_dir():
        raise no_file(path)
    if not path.exists():
        message = f"{path} is {'a link that leads nowhere' if path.is_symlink() else 'missing'}; {without_it(path)}"
        raise Refused(message)
    if is_intact(path):
        return "sealed"
    with (
        translated(path),
        local_copies([path], is_cached=False) as (copy,),
        pq.ParquetFile(copy, page_checksum_verification=True) as file,
    ):
        for _ in file.iter_batches():
            pass
        columns = file.schema_arrow.names
    if path.name == SEED:
        return "other"
    if not {*LOG_COLUMNS} <= {*columns}:
        raise alien(path)
    if TABLE in path.parts:  # Delta Lake seals none of the files that it merged
        return "other"
    read_metadata(path)
    return "unsealed"


def _size(path: AnyPath) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_missed(path: AnyPath) -> bool:
    """Whether the newest version of a table has a file."""
    if TABLE not in path.parts:
        return False
    return path in table_files(containing(path, TABLE).parent)


def _listed(home: AnyPath) -> Iterator[AnyPath]:
    """Yield what lies by the name of a part where readers expect one, also if it is no file."""
    for folder in chain_folders(home):
        with translated(folder):
            yield from (folder / name for name in part_names(folder))
    yield from (path for path in (home / BACKFILLS).glob(f"*/*{SUFFIX}") if path.is_dir())
    if (home / SEED).is_dir() and not any((home / SEED).glob("[0-9]*")):  # else it is a topic's
        yield home / SEED


def _faults(home: AnyPath) -> Iterator[str]:
    """Yield what is wrong with a view besides single files."""
    yield from _tried(lambda: read_owner(home))
    for folder in chain_folders(home):
        yield from _tried(partial(_require_chain, folder))
    for job in job_folders(home):
        yield from _tried(partial(_require_job, home, job))
    yield from _tried(lambda: _require_begun(home))
    yield from _tried(lambda: listed_parts(home))


def _require_chain(folder: AnyPath) -> None:
    with translated(folder):
        for _ in folded_parts(folder, newest_mark(folder).position):
            pass
        holes = find_holes(folder)[1]
    if holes:
        message = f"the chain in {folder} lacks {'; '.join(map(str, holes))}. {MEND}"
        raise Refused(message)


def _require_job(home: AnyPath, folder: AnyPath) -> None:
    with translated(folder):
        noted = newest_mark(folder).position
        batches = read_batches(folder, range(1, max(last_batch(folder) + 1, noted)))
        there = {path.stem for path in folder.glob(f"*{SUFFIX}")}
    end = max(noted, job_ends(home)(folder))  # after the listing: what was folded and deleted meanwhile is before it
    for batch in batches:
        if batch.number >= end and (gone := sorted(batch.chunks.keys() - there)):
            raise Refused(gone_chunk(folder / f"{gone[0]}{SUFFIX}"))


def _require_begun(home: AnyPath) -> None:
    gone = [f"{partition} is missing whole (expected in {place})" for partition, place, _ in gone_chains(home)]
    if gone:
        message = f"the offline log in {home} is not whole: {'; '.join(gone)}. {MEND}"
        raise Refused(message)


def _tried(look: Callable[[], object]) -> Iterable[str]:
    try:
        look()
    except UndertowError as error:
        return [str(error)]
    return []
