"""Delete the rows of series from a view's history: from the parts of chains and backfills, and from the table.

In: a view's folder, files with rows of series. Out: the same files without them. Whoever reads, appends or folds at
the same time goes on. Knows no online store, and does not ask whether it may.

A part is replaced by one without the rows under the same name: its footer stays, and so do offsets, numbers, marks and
what was lost. The table's files are replaced by a transaction. Between the two stands a transaction that changes
nothing: a maintainer that read rows before it is refused by it, so none comes back into the table.

Most of the time goes in waiting for a disk or a store, so several files are rewritten at once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from undertow.adapters.offline_batches import job_folders, table_id
from undertow.adapters.offline_chains import chain_folders
from undertow.adapters.offline_files import replace_unchanged, sweep
from undertow.adapters.offline_found import FoundFile, FoundRows, SeriesSearch, in_table
from undertow.adapters.offline_history import has_table
from undertow.adapters.offline_names import TABLE
from undertow.adapters.offline_parts import READERS, encode_again, part_files, translated
from undertow.adapters.offline_table import (
    DeltaHistory,
    files_of,
    is_beaten,
    is_made,
    refuse_earlier,
    replace_files,
    write_file,
)
from undertow.adapters.offline_table_version import open_table, translated_delta
from undertow.adapters.offline_tombstones import unused_since
from undertow.adapters.offline_wanted import WantedSeries, read_all
from undertow.core.errors import Unavailable
from undertow.schemas.spaces import SpaceView
from undertow.storage.at_once import REQUESTS, at_once
from undertow.storage.store_path import AnyPath, below
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.ports import Clock

TRIES = 20
"""How often a file or a transaction is begun anew where others were faster. A choice."""
TOGETHER_BYTES = 64 << 20
"""Bytes of files that are rewritten at once, each of which is in memory several times. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rewritten:
    """A file of the table, and what is to take its place, which no version has yet."""

    name: str
    """Below the table, as its log has it."""
    day: str
    added: tuple[AddAction, ...]
    """Empty where all rows go."""
    deleted: int
    """How many rows."""


class ForgetHistory:
    """The history of one view, and whom it is to forget."""

    def __init__(self, home: AnyPath, view: SpaceView, wanted: WantedSeries, *, clock: Clock) -> None:
        """Touch nothing yet. `home` is absolute; the view's features need not be known."""
        self.home, self.view, self.wanted, self.clock = home, view, wanted, clock
        self._search = SeriesSearch(home, wanted)
        self._unused: set[str] = set()  # names of the table's files that no version will have again
        self._steps = threading.Lock()

    def find(self) -> FoundRows:
        """Look at every file that was not seen to have no such row. Raises as `SeriesSearch.find`."""
        return self._search.find()

    def rewrite_parts(self, files: Iterable[FoundFile]) -> int:
        """Replace parts by the same without the rows; return how many that were. Raises `Refused`, `Unavailable`."""
        deleted = 0
        for some in _together(files):
            deleted += sum(at_once(self._rewrite_part, [file.path for file in some], on_disk=REQUESTS))
        return deleted

    def refuse_earlier(self) -> None:
        """Let no maintainer commit what it has read until now, and note what it had written."""
        if not has_table(self.home):
            return  # who makes one reads parts after that
        before = {path.name for path in in_table(self.home)}

        def commit(table: Any) -> None:
            folders = [*chain_folders(self.home), *job_folders(self.home)]
            known = [table_id(folder, self.home) for folder in folders]
            refuse_earlier(table, {one: int(table.transaction_version(one) or 0) for one in known if one})

        table = self._commit(commit)
        self._unused.update(before - {name.rpartition("/")[2] for name, _, _ in files_of(table)})
        hit_failpoint("after_forget_barrier")

    def rewrite_table(self, files: Iterable[FoundFile]) -> int:
        """Replace files of the table by others without the rows; return how many rows that were.

        Some in a transaction, which says nothing of files that others have replaced meanwhile: those rows are found
        elsewhere. So others who change the table cost a transaction, and no file. Raises `Refused`, `Unavailable`.
        """
        deleted = 0
        for some in _together(files):
            rewritten = at_once(self._rewrite_file, [file.path for file in some], on_disk=READERS)
            deleted += self._replace([one for one in rewritten if one is not None])
            hit_failpoint("after_forget_table")
        return deleted

    def delete_unused(self, readers_s: float) -> None:
        """Delete the table's files that no version of so long has had, and what killed writers left half written.

        Raises `Refused`, `Unavailable`.
        """
        with translated(self.home):
            for folder in {path.parent for path in (*part_files(self.home), *in_table(self.home))}:
                sweep(folder, now=self.clock())
        if has_table(self.home):
            DeltaHistory(self.home, self.view, clock=self.clock).delete_unused(readers_s)

    def delete_replaced(self, files: Iterable[FoundFile]) -> int:
        """Delete files of the table at once that no version will have again; return how many there were."""
        return sum(at_once(self._delete, [file.path for file in files if file.path.name in self._unused]))

    def gone_by(self, files: Iterable[FoundFile], readers_s: float) -> float | None:
        """Return when the last of these files may be deleted, in seconds since the epoch; None of none.

        It counts from when the table lost them: a run that finds them replaced already gives them no more time. Of one
        whose removal is no longer in the log, it counts from now. Raises `Refused`, `Unavailable`.
        """
        names = {file.path.name for file in files}
        since = unused_since(self.home / TABLE, names) if names else {}
        return max((since.get(name, self.clock()) + readers_s for name in names), default=None)

    def _rewrite_part(self, path: AnyPath) -> int:
        rows = 0

        def make() -> bytes | None:
            nonlocal rows
            there = read_all(path)
            kept = self.wanted.without(there)
            rows = len(there) - len(kept)
            return encode_again(path, kept, self.view) if rows else None

        try:
            for _ in range(TRIES):
                with translated(path):
                    if replace_unchanged(path, make):
                        self._hit("after_forget_part")
                        return rows
        except Unavailable:
            if path.exists():
                raise
            return 0  # deleted by a maintainer, since the table has it
        message = f"{path} is being rewritten by another; it will be tried again"
        raise Unavailable(message)

    def _rewrite_file(self, path: AnyPath) -> _Rewritten | None:
        """Write what is to take the place of a file of the table; return None if nobody needs it any more."""
        name = below(path, self.home / TABLE)
        try:
            there = read_all(path)
        except Unavailable:
            if path.exists():
                raise
            return None
        kept = self.wanted.without(there)
        day = name.partition("/")[0].partition("=")[2]
        added = (write_file(self.home, _with_features(self.view, there.schema), day, kept),) if len(kept) else ()
        self._hit("after_forget_file")
        return _Rewritten(name=name, day=day, added=added, deleted=len(there) - len(kept))

    def _replace(self, rewritten: list[_Rewritten]) -> int:
        left: list[_Rewritten] = []

        def commit(table: Any) -> None:
            if left and is_made(self.home / TABLE, [action for one in left for action in one.added]):
                return
            names = {name for name, _, _ in files_of(table)}
            left[:] = [one for one in rewritten if one.name in names]
            if left:
                added = [action for one in left for action in one.added]
                replace_files(table, added, [(one.name, one.day) for one in left], is_change=True, clock=self.clock)

        self._commit(commit)
        self._unused.update(one.name.rpartition("/")[2] for one in left)
        for one in rewritten:
            for action in () if one in left else one.added:
                (self.home / TABLE / action.path).unlink(missing_ok=True)
        return sum(one.deleted for one in left)

    def _delete(self, path: AnyPath) -> int:
        with translated(path):
            path.unlink(missing_ok=True)
        self._hit("after_forget_files")
        return 1

    def _hit(self, point: str) -> None:
        with self._steps:  # it counts
            hit_failpoint(point)

    def _commit(self, commit: Callable[[Any], None]) -> Any:
        with translated_delta(self.home / TABLE):
            for left in reversed(range(TRIES)):
                table = open_table(self.home / TABLE)
                try:
                    commit(table)
                except CommitFailedError as error:
                    if not left or not is_beaten(error):
                        raise
                else:
                    return table
        raise AssertionError  # the last try returns or raises


def _together(files: Iterable[FoundFile]) -> Iterator[list[FoundFile]]:
    """Yield files that may be in memory at once, at least one."""
    some: list[FoundFile] = []
    for file in files:
        if some and sum(one.size for one in some) + file.size > TOGETHER_BYTES:
            yield some
            some = []
        some.append(file)
    if some:
        yield some


def _with_features(view: SpaceView, schema: pa.Schema) -> SpaceView:
    """Return the view with the features that a file has."""
    return replace(view, features=tuple((one.name, 0) for one in schema if pa.types.is_list(one.type)))
