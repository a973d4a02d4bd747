"""Split history into chunks: the same files give the same chunks with the same names, in every run.

In: a Parquet file or a folder of them, also in an object store. Out: `Chunk`s, and the rows of each. Knows no model.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.backfill.digests import content_digest, stamp
from undertow.backfill.history_files import find_history, find_pieces
from undertow.core.errors import Refused
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import InputContract
from undertow.storage.store_path import AnyPath

BATCH_ROWS = 1024  # how much is decoded at a time
WHOLE = 1 << 62
"""Rows of a chunk that is a whole file, whatever that holds."""


class FileFault(Refused):
    """A file of history cannot be read, or has changed since it was split; other files may be fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive rows of one file. All chunks of a file have the same number of rows, except for the last."""

    id: str
    path: str
    """Relative to the folder of the history."""
    stamp: str
    """The file's stamp when it was split (see `digests.stamp`)."""
    digest: str
    """The digest of the file's content; empty if none was computed."""
    first: int
    rows: int
    before: int = 0
    """The number of rows in all chunks before it."""
    old_id: str = ""
    """Its id in earlier versions, from the file's name, size and footer."""

    def __str__(self) -> str:
        return f"{self.id} ({self.path}, rows {self.first} to {self.first + self.rows - 1})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutHistory:
    """The chunks of a history."""

    chunks: tuple[Chunk, ...]
    left_out: tuple[str, ...]
    """Why files were left out."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why files cannot be used, by path."""


def cut(
    history: AnyPath,
    contract: InputContract | None,
    *,
    space: str,
    chunk_rows: int,
    digest_of: Callable[[AnyPath], str] = content_digest,
) -> CutHistory:
    """Split history into chunks, named by the files' content. Raises `Refused` if no file can hold windows.

    Without a contract they are not looked at: pieces of observations, which are ours. Of files with the same content
    only the first is used. If `digest_of` returns an empty text, names depend on the
    place only.
    """
    found = find_pieces(history) if contract is None else find_history(history)
    chunks: list[Chunk] = []
    faults: dict[str, str] = {}
    names: dict[str, str] = {}
    before = 0
    for name in found.names:
        path = found.folder / name
        try:
            rows, stamped = _look(path, name, contract), stamp(path)
            digest, old = digest_of(path), f"{name}|{path.stat().st_size}|{_footer_digest(path)}"
        except (FileFault, OSError) as error:
            faults[name] = str(error)
            continue
        if digest and names.setdefault(digest, name) != name:
            continue
        for first in range(0, rows, chunk_rows):
            place = f"{first}|{min(chunk_rows, rows - first)}|{space}"
            chunks.append(
                Chunk(
                    id=_key(f"{digest or old}|{place}"),
                    old_id=_key(f"{old}|{place}"),
                    path=name,
                    stamp=stamped,
                    digest=digest,
                    first=first,
                    rows=min(chunk_rows, rows - first),
                    before=before + first,
                )
            )
        before += rows
    if len(faults) == len(found.names):
        raise Refused(next(iter(faults.values())))
    copies = len(found.names) - len(faults) - len(names)
    said = (f"{copies:,} of the same content as another",) if names and copies else ()
    return CutHistory(chunks=tuple(chunks), left_out=(*found.left_out, *said), faults=faults)


def _look(path: AnyPath, name: str, contract: InputContract | None) -> int:
    """Return how many rows a file has. Raises `FileFault` if they cannot be windows of this contract."""
    try:
        with _open(path) as file:
            rows, schema = int(file.metadata.num_rows), file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        message = f"{path} is no readable Parquet file: {error}"
        raise FileFault(message) from error
    if contract is not None and (fault := schema_fault(schema, contract)) is not None:
        message = f"{path} cannot hold windows for this artifact: {fault[1]} (what it takes: undertow describe)"
        raise FileFault(message + (_of_hive(name, contract) or _of_observations(schema, contract)))
    return rows


def _of_hive(name: str, contract: InputContract) -> str:
    """Return a hint if the path has a missing column, as in files partitioned by Hive or Spark."""
    pairs = [part for part in Path(name).parts[:-1] if "=" in part]
    known = {column.name for column in contract.series} | {column.name for column in contract.static}
    if not (ours := [pair for pair in pairs if pair.partition("=")[0] in known]):
        return ""
    return (
        f"; its path has {', '.join(ours)}, but no value is read from a path: write the column into the files, in the "
        "struct series (ids) or static"
    )


def _of_observations(schema: pa.Schema, contract: InputContract) -> str:
    """Return a hint if each row seems to be an observation: one step of one series."""
    wanted = {one.name for one in contract.series}
    if "past" in schema.names or not wanted <= set(schema.names):
        return ""
    return "; where each row is an observation, windows.every says how they become windows"


def _key(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _footer_digest(path: AnyPath) -> str:
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(file.read(length)).hexdigest()


def _open(path: AnyPath) -> pq.ParquetFile:
    """Open a file; of an object only what is asked for is fetched."""
    source: Any = path if isinstance(path, Path) else path.open("rb")
    return pq.ParquetFile(source, page_checksum_verification=True)


class ChunkReader:
    """Reads chunks of a folder; fastest if those of a file come in ascending order, since then it just reads on.

    Row groups may be larger than a chunk and than memory allows, so they are decoded in small batches.
    """

    def __init__(self, folder: AnyPath, columns: list[str]) -> None:
        self._folder, self._columns = folder, columns
        self._path = ""
        self._position = 0
        self._rest: Any = None
        self._batches: Iterator[Any] = iter(())
        self._digested: tuple[str, str, str] = ("", "", "")

    def read(self, chunk: Chunk) -> pa.Table:
        """Return the chunk's rows. Raises `FileFault` if the file has changed since it was cut, or is damaged."""
        path = self._folder / chunk.path
        try:
            before = self._require_same(chunk, path)
            table = self._read(chunk, path)
            if stamp(path) != before:
                self._require_same(chunk, path)
        except (pa.ArrowException, OSError, StopIteration, RuntimeError) as error:
            self._path = ""  # the position in the file is unknown now
            message = f"{path} is damaged, or cannot be read: {' '.join(str(error).split()) or 'it ends too early'}"
            raise FileFault(message) from error
        return table

    def _require_same(self, chunk: Chunk, path: AnyPath) -> str:
        """Return the file's stamp. If it differs, the file may be a copy on another node: then the content decides."""
        now = stamp(path)
        if now == chunk.stamp:
            return now
        if chunk.digest and self._digested[:2] != (chunk.path, now):
            self._digested = (chunk.path, now, content_digest(path))
        if not chunk.digest or self._digested[2] != chunk.digest:
            message = f"{path} was changed since it was looked at when this began: start it again"
            raise FileFault(message)
        return now

    def _read(self, chunk: Chunk, path: AnyPath) -> pa.Table:
        if chunk.path != self._path or chunk.first < self._position:
            self._seek(chunk, path)
        deque(self._read_on(chunk.first - self._position), maxlen=0)
        return pa.Table.from_batches(self._read_on(chunk.rows)).combine_chunks()

    def _seek(self, chunk: Chunk, path: AnyPath) -> None:
        file = _open(path)
        groups, begin = file.metadata.num_row_groups, 0
        group = 0
        while begin + file.metadata.row_group(group).num_rows <= chunk.first:
            begin += file.metadata.row_group(group).num_rows
            group += 1
        self._batches = file.iter_batches(BATCH_ROWS, row_groups=list(range(group, groups)), columns=self._columns)
        self._path, self._position, self._rest = chunk.path, begin, None

    def _read_on(self, rows: int) -> Iterator[Any]:
        while rows:
            if not self._rest:
                self._rest = next(self._batches)
            piece = self._rest.slice(0, rows)
            self._rest = self._rest.slice(piece.num_rows)
            self._position += piece.num_rows
            rows -= piece.num_rows
            yield piece
