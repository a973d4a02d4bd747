"""The backfill jobs of a view, as the maintainer sees them: chains whose parts are batches of chunks.

In: a view's folder. Out: what can be folded, rows of batches, notes; deleted chunks. Keeps the port `Chains`. Knows no
table.

Chunks come in any order, so which of them go into the table together is noted first (`offline_batches`). The newest
ones wait while their job goes on, so that a long job does not leave thousands of small files in the table: it has one
for each day that a batch has rows of.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from undertow.adapters.offline_advice import gone_chunk
from undertow.adapters.offline_batches import ChunkBatch, add_batch, job_folders, last_batch, read_batches, table_id
from undertow.adapters.offline_fold import delete_parts
from undertow.adapters.offline_folded import FoldMark, add_mark, all_marks, drop_marks
from undertow.adapters.offline_history import job_ends
from undertow.adapters.offline_parts import part_schema, read_latest, read_part, translated
from undertow.core.errors import Unavailable, UndertowError
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.spaces import SpaceView
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath, StorePath, below
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.history_ports import FoldChain, FoldedUpTo, PartPlace
from undertow.stream.ports import Clock

BATCH_BYTES = 128 << 20
"""Bytes of chunks in a batch, which is held in memory three times. Twice those of the stream, since rows of a batch may
be of any number of days, and each day gets a file. A choice."""
QUIET_S = 60.0
"""A batch that is not full waits until its job has written nothing for so long, or for the grace time where that is
less. A choice: a chunk takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    size: int
    written_s: float
    """When, in seconds since the epoch."""


class FileJobs:
    """The jobs in a view's folder, which must have been claimed."""

    def __init__(
        self,
        home: AnyPath,
        view: SpaceView,
        *,
        quiet_s: float = QUIET_S,
        batch_bytes: int = BATCH_BYTES,
        clock: Clock = time.time,
    ) -> None:
        """Touch nothing yet."""
        self._home, self._columns = home, part_schema(view).names
        self._quiet_s, self._batch_bytes, self._clock = quiet_s, batch_bytes, clock

    def look(self) -> tuple[list[FoldChain], list[str]]:
        """See the port. Notes new batches."""
        end_of = job_ends(self._home)
        found = at_once(lambda folder: self._try_look(folder, end_of), job_folders(self._home))
        return [one for one in found if isinstance(one, FoldChain)], [one for one in found if isinstance(one, str)]

    def read(self, chain: FoldChain, positions: Sequence[int]) -> list[Any]:
        """See the port."""
        folder = self._home / chain.name
        paths = [
            folder / f"{name}{SUFFIX}" for batch in read_batches(folder, positions) for name in sorted(batch.chunks)
        ]
        return at_once(self._read, paths)

    def keep(self, chain: FoldChain, before: int) -> None:
        """See the port. Nothing: what chunks say besides their rows is in the batch already."""

    def note(self, chain: FoldChain, upto: FoldedUpTo) -> None:
        """See the port."""
        folder = self._home / chain.name
        _require_batches(folder, upto.position)
        add_mark(folder, FoldMark(position=upto.position, parts=upto.parts, at_s=upto.at_s))
        hit_failpoint("after_fold_note")

    def delete(self, chain: FoldChain, before: FoldedUpTo) -> int:
        """Delete the files of all chunks before a noted position; return how many there were."""
        folder = self._home / chain.name
        with translated(folder):
            _require_batches(folder, before.position)
            files = _files(folder)
            known = read_batches(folder, [part.position for part in chain.parts if part.position < before.position])
            names = [f"{name}{SUFFIX}" for batch in known for name in sorted(batch.chunks) if name in files]
            delete_parts(folder, names, lambda: _require_batches(folder, before.position))
            drop_marks(folder, before=before.position)
        return len(names)

    def _try_look(self, folder: AnyPath, end_of: Callable[[AnyPath], int]) -> FoldChain | str | None:
        """Return a job, or why it cannot be folded now, or None if it has nothing to fold."""
        try:
            with translated(folder):
                end_of(folder)  # before a batch is noted: it must not take the place of one that the table has
                return self._look(folder)
        except UndertowError as error:
            return str(error)

    def _look(self, folder: AnyPath) -> FoldChain | None:
        files = _files(folder)  # before the batches: what is deleted later is in one of them
        last = last_batch(folder)
        if not files and not last:
            return None
        batches = read_batches(folder, range(1, last + 1)) if files else []
        batched = {name for batch in batches for name in batch.chunks}
        new = {name: file for name, file in files.items() if name not in batched}
        for chunks in self._closed(new):
            latest = at_once(read_latest, [folder / f"{name}{SUFFIX}" for name in chunks])
            add_batch(folder, ChunkBatch(number=last + 1, chunks=dict(zip(chunks, latest, strict=True))))
            hit_failpoint("after_fold_batch")
            last += 1
            (noted,) = read_batches(folder, [last])
            batches.append(noted)
            if {*noted.chunks} != {*chunks}:  # another maintainer was faster: the next run goes on
                break
        marks = all_marks(folder)
        noted_upto = marks[-1].position if marks else 1
        there = {batch.number: [files[name].size for name in batch.chunks if name in files] for batch in batches}
        return FoldChain(
            id=table_id(folder, self._home),
            name=below(folder, self._home),
            notes=tuple(FoldedUpTo(position=mark.position, parts=mark.parts, at_s=mark.at_s) for mark in marks),
            parts=tuple(
                PartPlace(position=number, size=sum(sizes := there.get(number, [])), files=len(sizes))
                for number in range(1, last + 2)  # and the next one, which has no chunks yet
                if number >= noted_upto or there.get(number)
            ),
            waiting=len(files.keys() - {name for batch in batches for name in batch.chunks}),
        )

    def _closed(self, new: Mapping[str, _File]) -> Iterator[list[str]]:
        """Yield the chunks of each new batch, in the order in which they were written, as their history has them."""
        some: list[str] = []
        size = 0
        for name in sorted(new, key=lambda name: (new[name].written_s, name)):
            if some and size + new[name].size > self._batch_bytes:
                yield some
                some, size = [], 0
            some.append(name)
            size += new[name].size
        if some and (not self._quiet_s or new[some[-1]].written_s <= self._clock() - self._quiet_s):
            yield some

    def _read(self, path: AnyPath) -> Any:
        try:
            return read_part(path, self._columns)
        except Unavailable as error:
            if path.exists():
                raise
            raise Unavailable(gone_chunk(path)) from error


def _require_batches(folder: AnyPath, position: int) -> None:
    """Raise `Unavailable` where a job was moved away, and lacks a batch before a position."""
    with translated(folder):
        if last_batch(folder) + 1 < position:
            message = f"the job in {folder} was moved while it was folded; it will be tried again"
            raise Unavailable(message)


def _files(folder: AnyPath) -> dict[str, _File]:
    """Return the chunks in a job's folder, by their names without suffix. Raises `OSError`."""
    return dict(_listed(folder))


def _listed(folder: AnyPath) -> Iterator[tuple[str, _File]]:
    if isinstance(folder, StorePath):
        for path, found in folder.walk_status():
            if path.suffix == SUFFIX and path.parent == folder:
                yield path.stem, _File(size=found.st_size, written_s=found.st_mtime)
        return
    for file in folder.glob(f"*{SUFFIX}"):
        try:
            status = file.stat()
        except FileNotFoundError:  # another maintainer has just deleted it
            continue
        if not file.name.startswith("."):
            yield file.stem, _File(size=status.st_size, written_s=status.st_mtime)
