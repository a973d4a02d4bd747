"""Where a view's history has rows of given series: in which files, how many, of which series.

In: a view's folder, series. Out: files, by the place that they have in history. Changes nothing. Whoever appends, folds
or rewrites at the same time goes on.

Every file is looked at once: parts are only ever replaced by ones without rows, files of the table never. One that had
no such row is looked at again only where a listing says that it is another file now, such as one of a chain that was
begun anew.
"""

import contextlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from undertow.adapters.offline_batches import chunks_before, is_chunk, job_folders, table_id
from undertow.adapters.offline_chains import chain_folders
from undertow.adapters.offline_history import has_table
from undertow.adapters.offline_names import PART_NAME, SEED, TABLE, position_of
from undertow.adapters.offline_parts import READERS, part_files, translated
from undertow.adapters.offline_table import DAY, TARGET_BYTES, files_of
from undertow.adapters.offline_table_version import open_table, translated_delta
from undertow.adapters.offline_wanted import WantedSeries
from undertow.core.errors import UndertowError
from undertow.core.parquet_files import SUFFIX
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath, StorePath

Place = Literal["table", "tail", "folded", "backfills", "replaced"]
"""Where rows are: the table; parts that it lacks; parts that it has too, until readers need them no more; chunks of
backfills that it lacks; files of the table that its newest version has no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundFile:
    """A file with rows of these series."""

    path: AnyPath
    place: Place
    size: int
    """In bytes; of one that came after it was listed, as many as a file of the table may have."""
    rows: int
    ids: pa.Table
    """Which series these are, each once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundRows:
    """Where a history has rows of these series."""

    files: tuple[FoundFile, ...] = ()
    faults: tuple[str, ...] = ()
    """Why files could not be looked at."""

    def rows(self) -> Counter[Place]:
        """Return how many rows there are, by place."""
        counts = Counter[Place]()
        for file in self.files:
            counts[file.place] += file.rows
        return counts

    def at(self, *places: Place) -> list[FoundFile]:
        """Return the files of these places."""
        return [file for file in self.files if file.place in places]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """What a listing says of a file."""

    size: int
    identity: Hashable
    """Another where the file is another, or has another content."""


class SeriesSearch:
    """Looks for the rows of series in one view, any number of times."""

    def __init__(self, home: AnyPath, wanted: WantedSeries) -> None:
        """Touch nothing yet. `home` is absolute."""
        self._home, self._wanted = home, wanted
        self._without: dict[AnyPath, _Status] = {}  # files without such rows, as they were listed before that was seen

    def find(self) -> FoundRows:
        """Look at every file, several at once. Raises `Refused`, `Unavailable` where they cannot be listed."""
        listed = self._list()
        parts = [path for path in part_files(self._home) if path != self._home / SEED]
        there = in_table(self._home)
        live, ends = self._read_table()  # after the parts: whatever was folded and deleted meanwhile is in it
        folded = self._folded(parts, ends)
        places: dict[AnyPath, Place] = {path: self._place(path, folded) for path in parts}
        places |= {self._home / TABLE / name: "table" for name in sorted(live)}
        known = {name.rpartition("/")[2] for name in live}
        places |= {path: "replaced" for path in there if path.name not in known}
        left = [path for path in places if path not in listed or self._without.get(path) != listed[path]]
        seen = at_once(lambda path: self._look(path, places[path], listed.get(path)), left, on_disk=READERS)
        return FoundRows(
            files=tuple(one for one in seen if isinstance(one, FoundFile)),
            faults=tuple(one for one in seen if isinstance(one, str)),
        )

    def _look(self, path: AnyPath, place: Place, listed: _Status | None) -> FoundFile | str | None:
        """Return what a file has, or why it cannot be looked at, or None if it has no such row."""
        try:
            ids = self._found_in(path, listed)
        except (UndertowError, OSError) as error:
            return str(error) if path.exists() else None  # whoever deleted it had its rows elsewhere
        if not len(ids):
            if listed is not None:
                self._without[path] = listed
            return None
        series = ids.group_by(self._wanted.names).aggregate([])
        size = TARGET_BYTES if listed is None else listed.size
        return FoundFile(path=path, place=place, size=size, rows=len(ids), ids=series)

    def _found_in(self, path: AnyPath, listed: _Status | None) -> pa.Table:
        if listed is not None and isinstance(path, StorePath):
            with contextlib.suppress(UndertowError, OSError):  # it may be another since
                return self._wanted.found_in(path, listed.size)
        return self._wanted.found_in(path)

    def _list(self) -> dict[AnyPath, _Status]:
        """Return what a listing says of each file now, before any of them is opened."""
        with translated(self._home):
            if isinstance(self._home, StorePath):
                return {path: _Status(size=one.st_size, identity=one) for path, one in self._home.walk_status()}
            return {path: one for path in (*part_files(self._home), *in_table(self._home)) if (one := _status(path))}

    def _read_table(self) -> tuple[set[str], dict[AnyPath, int]]:
        """Return the files of the table's newest version, by their names below it; where it ends chains and jobs."""
        folders = [*chain_folders(self._home), *job_folders(self._home)]
        if not has_table(self._home):
            return set(), dict.fromkeys(folders, 0)
        with translated_delta(self._home / TABLE):
            table = open_table(self._home / TABLE)
            ids = at_once(lambda folder: table_id(folder, self._home), folders)
            ends = [int(table.transaction_version(known) or 0) if known else 0 for known in ids]
            return {path for path, _, _ in files_of(table)}, dict(zip(folders, ends, strict=True))

    def _folded(self, parts: list[AnyPath], ends: dict[AnyPath, int]) -> set[AnyPath]:
        """Return the parts that the table has, too."""
        folders = {path.parent for path in parts if is_chunk(path, self._home)}
        chunks = {folder: chunks_before(folder, ends.get(folder, 0)) for folder in folders}
        return {
            path
            for path in parts
            if (
                path.stem in chunks[path.parent]
                if path.parent in chunks
                else path.parent in ends and PART_NAME(path.name) and position_of(path.name) < ends[path.parent]
            )
        }

    def _place(self, path: AnyPath, folded: set[AnyPath]) -> Place:
        if path in folded:
            return "folded"
        return "backfills" if is_chunk(path, self._home) else "tail"


def in_table(home: AnyPath) -> list[AnyPath]:
    """Return all files that lie in a view's table, whichever version has them. Raises `Refused`, `Unavailable`."""
    with translated(home):
        if isinstance(home, StorePath):  # one listing, not one a day
            objects = (home / TABLE).walk_objects()
            return [path for path in objects if path.suffix == SUFFIX and path.parent.name.startswith(f"{DAY}=")]
        return [*(home / TABLE).glob(f"{DAY}=*/*{SUFFIX}")]


def _status(path: AnyPath) -> _Status | None:
    if not isinstance(path, Path):
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _Status(size=found.st_size, identity=identity)
