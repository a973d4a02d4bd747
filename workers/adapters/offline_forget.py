"""Delete the rows of series from a view's history: from the parts of chains and backfills, and from the table.

In: a view's folder, series. Out: where their rows are; the same files without them. Whoever reads, appends or folds at
the same time goes on. Knows no online store, and does not ask whether it may.

A part is replaced by one without the rows under the same name: its footer stays, and so do offsets, numbers, marks and
what was lost. The table's files are replaced by a transaction. Between the two stands a transaction that changes
nothing: a maintainer that read rows before it is refused by it, so none comes back into the table.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from undertow.adapters.offline_chains import chain_folders
from undertow.adapters.offline_files import replace_unchanged, sweep
from undertow.adapters.offline_folded import chain_id
from undertow.adapters.offline_history import has_table
from undertow.adapters.offline_names import BACKFILLS, PART_NAME, SEED, TABLE, position_of
from undertow.adapters.offline_parts import READERS, encode_again, part_files, translated
from undertow.adapters.offline_table import (
    DAY,
    DeltaHistory,
    files_of,
    is_beaten,
    refuse_earlier,
    replace_files,
    write_file,
)
from undertow.adapters.offline_table_version import open_table, translated_delta
from undertow.adapters.offline_wanted import WantedSeries, read_all
from undertow.core.errors import Unavailable, UndertowError
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath, below
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.ports import Clock

Place = Literal["table", "tail", "folded", "backfills", "replaced"]
"""Where rows are: the table; parts that it lacks; parts that it has too, until readers need them no more; backfills;
files of the table that its newest version has no more."""
TRIES = 20
"""How often a file or a transaction is begun anew where others were faster. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundFile:
    """A file with rows of these series."""

    path: AnyPath
    place: Place
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

    def paths(self, *places: Place) -> list[AnyPath]:
        """Return the files of these places."""
        return [file.path for file in self.files if file.place in places]


class ForgetHistory:
    """The history of one view, and whom it is to forget."""

    def __init__(self, home: AnyPath, view: SpaceView, wanted: WantedSeries, *, clock: Clock) -> None:
        """Touch nothing yet. `home` is absolute; the view's features need not be known."""
        self.home, self.view, self.wanted, self.clock = home, view, wanted, clock
        self._unused: set[str] = set()  # names of the table's files that no version will have again

    def find(self) -> FoundRows:
        """Look at every file, several at once. Raises `Refused`, `Unavailable` where they cannot be listed."""
        parts = [path for path in part_files(self.home) if path != self.home / SEED]
        ends = self._ends()
        there = self._table_files()
        live = self._live()  # after the parts: whatever was folded and deleted meanwhile is in it
        places: list[tuple[AnyPath, Place]] = [(path, self._place(path, ends)) for path in parts]
        places += [(self.home / TABLE / name, "table") for name in sorted(live)]
        known = {_last(name) for name in live}
        places += [(path, "replaced") for path in there if path.name not in known]
        with ThreadPoolExecutor(READERS) as readers:
            seen = list(readers.map(lambda one: self._look(*one), places))
        return FoundRows(
            files=tuple(one for one in seen if isinstance(one, FoundFile) and one.rows),
            faults=tuple(one for one in seen if isinstance(one, str)),
        )

    def rewrite_parts(self, paths: Iterable[AnyPath]) -> int:
        """Replace parts by the same without the rows; return how many that were. Raises `Refused`, `Unavailable`."""
        deleted = 0
        for path in paths:
            deleted += self._rewrite_part(path)
            hit_failpoint("after_forget_part")
        return deleted

    def refuse_earlier(self) -> None:
        """Let no maintainer commit what it has read until now, and note what it had written."""
        if not has_table(self.home):
            return  # who makes one reads parts after that
        before = {path.name for path in self._table_files()}

        def commit(table: Any) -> None:
            known = [chain_id(folder) for folder in chain_folders(self.home)]
            refuse_earlier(table, {one: int(table.transaction_version(one) or 0) for one in known if one})

        table = self._commit(commit)
        self._unused.update(before - {_last(path) for path, _, _ in files_of(table)})
        hit_failpoint("after_forget_barrier")

    def rewrite_table(self, paths: Iterable[AnyPath]) -> int:
        """Replace files of the table by others without the rows; return how many rows that were.

        Each in a transaction, so that others who change the table meanwhile cost little. One that they have replaced is
        left: its rows are found elsewhere. Raises `Refused`, `Unavailable`.
        """
        deleted = 0
        for path in paths:
            deleted += self._rewrite_file(path)
            hit_failpoint("after_forget_table")
        return deleted

    def delete_unused(self, readers_s: float) -> None:
        """Delete the table's files that no version of so long has had, and what killed writers left half written.

        Raises `Refused`, `Unavailable`.
        """
        with translated(self.home):
            for folder in {path.parent for path in (*part_files(self.home), *self._table_files())}:
                sweep(folder, now=self.clock())
        if has_table(self.home):
            DeltaHistory(self.home, self.view, clock=self.clock).delete_unused(readers_s)

    def delete_replaced(self, paths: Iterable[AnyPath]) -> int:
        """Delete files of the table at once that no version will have again; return how many there were."""
        count = 0
        for path in paths:
            if path.name in self._unused:
                with translated(path):
                    path.unlink(missing_ok=True)
                count += 1
                hit_failpoint("after_forget_files")
        return count

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
                        return rows
        except Unavailable:
            if path.exists():
                raise
            return 0  # deleted by a maintainer, since the table has it
        message = f"{path} is being rewritten by another; it will be tried again"
        raise Unavailable(message)

    def _rewrite_file(self, path: AnyPath) -> int:
        name = below(path, self.home / TABLE)
        try:
            there = read_all(path)
        except Unavailable:
            if path.exists():
                raise
            return 0
        kept = self.wanted.without(there)
        day = name.partition("/")[0].partition("=")[2]
        added = [write_file(self.home, _with_features(self.view, there.schema), day, kept)] if len(kept) else []
        hit_failpoint("after_forget_file")
        is_there = True

        def commit(table: Any) -> None:
            nonlocal is_there
            if is_there := any(name == one for one, _, _ in files_of(table)):
                replace_files(table, added, [(name, day)], is_change=True, clock=self.clock)

        self._commit(commit)
        if is_there:
            self._unused.add(path.name)
            return len(there) - len(kept)
        for one in added:
            (self.home / TABLE / one.path).unlink(missing_ok=True)
        return 0

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

    def _look(self, path: AnyPath, place: Place) -> FoundFile | str:
        try:
            ids = self.wanted.found_in(path)
        except (UndertowError, OSError) as error:
            if path.exists():
                return str(error)
            ids = self.wanted.ids.slice(0, 0)  # whoever deleted it had its rows elsewhere
        series = ids.group_by(self.wanted.names).aggregate([])
        return FoundFile(path=path, place=place, rows=len(ids), ids=series)

    def _ends(self) -> dict[AnyPath, int]:
        """Return by chain where the table ends it."""
        folders = chain_folders(self.home)
        if not has_table(self.home):
            return dict.fromkeys(folders, 0)
        with translated_delta(self.home / TABLE):
            table = open_table(self.home / TABLE)
            ends = {}
            for folder in folders:
                with translated(folder):
                    known = chain_id(folder)
                ends[folder] = int(table.transaction_version(known) or 0) if known else 0
        return ends

    def _place(self, path: AnyPath, ends: dict[AnyPath, int]) -> Place:
        if below(path, self.home).startswith(f"{BACKFILLS}/"):
            return "backfills"
        is_folded = path.parent in ends and PART_NAME(path.name) and position_of(path.name) < ends[path.parent]
        return "folded" if is_folded else "tail"

    def _live(self) -> set[str]:
        """Return the files of the table's newest version, by their names below it as its log has them."""
        if not has_table(self.home):
            return set()
        with translated_delta(self.home / TABLE):
            return {path for path, _, _ in files_of(open_table(self.home / TABLE))}

    def _table_files(self) -> list[AnyPath]:
        with translated(self.home):
            return [*(self.home / TABLE).glob(f"{DAY}=*/*{SUFFIX}")]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _with_features(view: SpaceView, schema: pa.Schema) -> SpaceView:
    """Return the view with the features that a file has."""
    return replace(view, features=tuple((one.name, 0) for one in schema if pa.types.is_list(one.type)))
