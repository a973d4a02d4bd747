"""History cut into chunks: the same files give the same chunks with the same names, in every run.

In: a Parquet file or a folder of them. Out: `Chunk`s, and the rows of each. Knows no model and no store.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow_faults import schema_fault
from schemas.contract import InputContract
from workers.core.errors import Refused

BATCH_ROWS = 1024  # how much is decoded at a time
IGNORED = (".", "_")  # as Spark and Arrow do: what others are still writing, and their notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of one file. All chunks but the last of a file are equally long."""

    id: str
    path: str
    """Relative to the folder that `find_files` returned."""
    size: int
    """Bytes of the file."""
    first: int
    rows: int
    before: int = 0
    """Rows of all chunks before it."""

    def __str__(self) -> str:
        return f"{self.id} ({self.path}, rows {self.first} to {self.first + self.rows - 1})"


def find_files(history: Path) -> tuple[Path, list[str]]:
    """Return the folder and the Parquet files below it, as relative paths. Raises `Refused` if there are none."""
    if history.is_file():
        return history.parent, [history.name]
    found = (path.relative_to(history) for path in history.rglob("*.parquet") if path.is_file())
    names = sorted(path.as_posix() for path in found if not any(part.startswith(IGNORED) for part in path.parts))
    if not names:
        message = f"expected a Parquet file or a folder of them at {history}, found none"
        raise Refused(message)
    return history, names


def cut(history: Path, contract: InputContract, *, space: str, chunk_rows: int) -> list[Chunk]:
    """Cut history into chunks. Raises `Refused` for a file that cannot hold windows of this contract."""
    folder, names = find_files(history)
    chunks, before = [], 0
    for name in names:
        path = folder / name
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                rows, schema = file.metadata.num_rows, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            message = f"{path} is no readable Parquet file: {error}"
            raise Refused(message) from error
        if (fault := schema_fault(schema, contract)) is not None:
            message = f"{path} cannot hold windows for this artifact: {fault[1]} (what it takes: undertow describe)"
            raise Refused(message)
        size, footer = path.stat().st_size, _footer_digest(path)
        for first in range(0, rows, chunk_rows):
            length = min(chunk_rows, rows - first)
            identity = f"{name}|{size}|{footer}|{first}|{length}|{space}"
            key = hashlib.sha256(identity.encode()).hexdigest()[:32]
            chunks.append(Chunk(id=key, path=name, size=size, first=first, rows=length, before=before + first))
        before += rows
    return chunks


def _footer_digest(path: Path) -> str:
    """Tell files of one name and size apart: a Parquet footer holds the bounds of every column of every row group."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(file.read(length)).hexdigest()


class ChunkReader:
    """Reads chunks of a folder; cheapest if those of a file come in ascending order, for then it only reads on.

    Row groups may be larger than memory likes and than chunks are, so they are decoded a little at a time.
    """

    def __init__(self, folder: Path, columns: list[str]) -> None:
        self._folder, self._columns = folder, columns
        self._path = ""
        self._position = 0
        self._rest: Any = None
        self._batches: Iterator[Any] = iter(())

    def read(self, chunk: Chunk) -> pa.Table:
        """Return the chunk's rows. Raises `Refused` if the file has changed since it was cut."""
        path = self._folder / chunk.path
        size = path.stat().st_size
        if size != chunk.size:
            message = f"{path} had {chunk.size} bytes when the backfill began and now has {size}: start it again"
            raise Refused(message)
        if chunk.path != self._path or chunk.first < self._position:
            self._seek(chunk, path)
        deque(self._read_on(chunk.first - self._position), maxlen=0)
        return pa.Table.from_batches(self._read_on(chunk.rows)).combine_chunks()

    def _seek(self, chunk: Chunk, path: Path) -> None:
        file = pq.ParquetFile(path, page_checksum_verification=True)
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
