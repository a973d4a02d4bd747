"""The table of a view's history: Delta Lake in the view's folder, by day of event time.

In: Arrow tables, and the positions of their chains. Out: versions of the table, its files. Keeps the port
`HistoryTable`. Knows no chain but by its id.

A chain's id is a transaction's `app_id`, the position its `version`. Of two that append from one version, Delta Lake
refuses the second if they share an `app_id`.
"""

import contextlib
import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from undertow.adapters.offline_files import publish, require_folder
from undertow.adapters.offline_history import DELTA_LOG, delta_folder, has_table
from undertow.adapters.offline_names import TABLE
from undertow.adapters.offline_parts import encode_rows, part_schema, read_part
from undertow.adapters.offline_table_version import chain_position, open_table, storage_options, translated_delta
from undertow.adapters.offline_tombstones import unused_since
from undertow.core.errors import Refused
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.history_ports import Move, Tidied
from undertow.stream.ports import Clock

DAY = "day"
"""The partition column, in the table only, not in its files: they have the columns of parts."""
TARGET_BYTES = 128 << 20
LEAST_FILES = 16
"""A day is compacted when it has this many files below half the target: rewriting it at each run would cost more than
it saves. A choice."""
CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.enableExpiredLogCleanup": "true",
}
HOUR_S = 3600
REWRITING = "undertow.rewriting"
"""The `app_id` of whoever rewrites files: no chain's, which are nonces."""
CONFLICTS = ("Concurrent transaction failed", "a concurrent transaction")
"""What Delta Lake says where another commit came first, and this one was not made."""


class DeltaSnapshot:
    """A `TableSnapshot`."""

    def __init__(self, home: AnyPath, view: SpaceView, table: Any) -> None:
        self._home, self._view, self._table = home, view, table

    def folded(self, chain: str) -> int:
        """See the port. Raises `Refused`, `Unavailable`."""
        return chain_position(self._table, self._home / TABLE, chain)

    def append(self, rows: pa.Table, moves: Mapping[str, Move]) -> bool:
        """Write a file a day, and commit them. Raises `Unavailable`, `Refused`."""
        if any(self.folded(chain) != move.begin for chain, move in moves.items()):
            return False  # Delta Lake refuses only what was committed after the version that we hold
        adds = [write_file(self._home, self._view, day, some) for day, some in _by_day(rows)]
        hit_failpoint("after_fold_files")
        transactions = [Transaction(chain, move.upto) for chain, move in moves.items()]
        with translated_delta(self._home / TABLE):
            try:
                self._table.create_write_transaction(
                    adds,
                    "append",
                    self._table.schema(),
                    [DAY],
                    commit_properties=CommitProperties(app_transactions=transactions),
                )
            except CommitFailedError as error:
                if not is_beaten(error):
                    raise
                if not is_made(self._home / TABLE, adds):
                    delete_unheard(self._home / TABLE, adds)
                    return False
            hit_failpoint("after_fold_commit")
            self._table.update_incremental()
        return True


class DeltaHistory:
    """A `HistoryTable` in a view's folder."""

    def __init__(self, home: AnyPath, view: SpaceView, *, clock: Clock = time.time) -> None:
        """Touch nothing yet. `clock` says when a file is replaced, from where its time for readers is counted."""
        self._home, self._root, self._view, self._clock = home, home / TABLE, view, clock

    def snapshot(self) -> DeltaSnapshot:
        """See the port. Raises `Refused`, `Unavailable`."""
        with translated_delta(self._root):
            return DeltaSnapshot(self._home, self._view, self._open())

    def tidy(self, *, keep_since: date | None, readers_s: float) -> Tidied:
        """See the port. Raises `Refused`, `Unavailable`."""
        with translated_delta(self._root):
            table = self._open()
            expired = compacted = 0
            try:
                if keep_since is not None and any(day < keep_since.isoformat() for day in _days(table)):
                    expired = expire(table, keep_since, clock=self._clock)
                    hit_failpoint("after_fold_expiry")
                for day, small in _days(table).items():
                    if small >= LEAST_FILES:
                        compacted += compact(table, self._home, self._view, day, clock=self._clock)
                        hit_failpoint("after_fold_compaction")
            except CommitFailedError as error:
                if not is_beaten(error):
                    raise  # else another maintainer does the same
            return Tidied(compacted=compacted, expired=expired, vacuumed=self._delete_unused(readers_s))

    def delete_unused(self, readers_s: float) -> int:
        """Delete files unused for so long; return how many. Raises `Refused`, `Unavailable`."""
        with translated_delta(self._root):
            return self._delete_unused(readers_s)

    def _delete_unused(self, readers_s: float) -> int:
        # Delta Lake names for a week what it has deleted, deletes it again each time, and commits that.
        there = {path.name for path in self._root.glob(f"{DAY}=*/*{SUFFIX}")}
        old = [name for name in self._vacuum(readers_s, dry_run=True) if name.rpartition("/")[2] in there]
        if old:
            self._vacuum(readers_s, dry_run=False)
        return len(old)

    def _vacuum(self, readers_s: float, *, dry_run: bool) -> list[str]:
        # Full: also files that nobody committed, of a maintainer that was killed.
        found: list[str] = self._open().vacuum(
            retention_hours=int(readers_s // HOUR_S), dry_run=dry_run, enforce_retention_duration=False, full=True
        )
        return found

    def _open(self) -> Any:
        log = self._root / DELTA_LOG
        if isinstance(log, Path) and log.is_dir() and not log.is_symlink():
            message = (
                f"expected {log} to be a link to {delta_folder(self._home)}, found a folder: the log was copied by a "
                "program that follows links; copy it again with links as links (cp -a)"
            )
            raise Refused(message)
        if not has_table(self._home):
            self._make()
        return open_table(self._root)

    def _make(self) -> None:
        require_folder(self._home)
        log = delta_folder(self._home)
        if any(log.glob("*.json")):
            message = f"the table's log is in {log}, but {self._root} is gone: restore both from the same copy"
            raise Refused(message)
        if isinstance(log, Path) and isinstance(self._root, Path):
            for one in (log.parent, log, self._root):  # no parents: nothing is made where a disk is away
                one.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (self._root / DELTA_LOG).symlink_to(os.path.relpath(log, self._root), target_is_directory=True)
        schema = part_schema(self._view).append(pa.field(DAY, pa.string()))
        options = storage_options(self._root)
        DeltaTable.create(
            str(self._root), schema, "ignore", [DAY], configuration=CONFIGURATION, storage_options=options
        )


def write_file(home: AnyPath, view: SpaceView, day: str, rows: pa.Table, *, is_new: bool = True) -> AddAction:
    """Write a file that no version has yet. Raises `Unavailable`, `Refused`."""
    path = f"{DAY}={day}/{uuid.uuid4().hex}{SUFFIX}"
    order = [*(column.name for column in view.series), EVENT_TIMESTAMP, CREATED]
    content = encode_rows(rows.sort_by([(name, "ascending") for name in order]), view)
    publish(home / TABLE / path, content, within=home)
    return AddAction(
        path=path,
        size=len(content),
        partition_values={DAY: day},
        modification_time=int(time.time() * 1000),
        data_change=is_new,
        stats=_statistics(rows),
    )


def compact(table: Any, home: AnyPath, view: SpaceView, day: str, *, clock: Clock = time.time) -> int:
    """Merge small files of a day into one; return how many. Raises `CommitFailedError` if another rewrites at once.

    Not by Delta Lake's own `optimize`: of two at once delta-rs 1.6 commits both, and the rows are there twice.
    """
    some, size = [], 0
    for path, its_day, its_size in files_of(table):
        if its_day == day and its_size < TARGET_BYTES // 2 and size + its_size <= TARGET_BYTES:
            some.append((path, its_day))
            size += its_size
    columns = part_schema(view).names
    rows = pa.concat_tables([read_part(home / TABLE / path, columns).replace_schema_metadata() for path, _ in some])
    merged = write_file(home, view, day, rows, is_new=False)
    try:
        replace_files(table, [merged], some, is_change=False, clock=clock)
    except CommitFailedError as error:
        if not is_beaten(error):
            raise
        if not is_made(home / TABLE, [merged]):
            delete_unheard(home / TABLE, [merged])
            raise
    return len(some)


def expire(table: Any, keep_since: date, *, clock: Clock = time.time) -> int:
    """Remove the files of all days before one; return how many. Raises as `compact`."""
    old = [(path, day) for path, day, _ in files_of(table) if day < keep_since.isoformat()]
    replace_files(table, [], old, is_change=True, clock=clock)
    return len(old)


def replace_files(
    table: Any, added: list[AddAction], removed: list[tuple[str, str]], *, is_change: bool, clock: Clock
) -> None:
    """Replace files. Of two from one version Delta Lake refuses the second, since both name one `app_id`."""
    now_ms = int(clock() * 1000)
    removes = [RemoveAction(path, is_change, now_ms, None, {DAY: day}) for path, day in removed]
    alone = CommitProperties(app_transactions=[Transaction(REWRITING, table.version() + 1)])
    table.create_write_transaction([*added, *removes], "append", table.schema(), [DAY], commit_properties=alone)
    table.update_incremental()


def refuse_earlier(table: Any, chains: Mapping[str, int]) -> None:
    """Commit nothing but where chains are, so that whoever holds an earlier version can neither fold nor rewrite.

    `chains` are positions by id, as this version has them. Raises as `compact`.
    """
    named = [Transaction(chain, position) for chain, position in chains.items()]
    named.append(Transaction(REWRITING, table.version() + 1))
    alone = CommitProperties(app_transactions=named)
    table.create_write_transaction([], "append", table.schema(), [DAY], commit_properties=alone)
    table.update_incremental()


def is_beaten(error: Exception) -> bool:
    """Whether an error of Delta Lake says that another commit came first, and this one was not made."""
    return any(conflict in str(error) for conflict in CONFLICTS)


def is_made(root: AnyPath, added: Sequence[AddAction]) -> bool:
    """Whether a commit that adds these files was made after all, though Delta Lake says that it was beaten.

    Where a store makes it and its reply is lost, Delta Lake tries again, and takes what it finds there, its own commit,
    for another's. Raises `Refused`, `Unavailable`: then nobody knows, and the files must stay.
    """
    names = {action.path.rpartition("/")[2] for action in added}
    live = {path.rpartition("/")[2] for path, _, _ in files_of(open_table(root))}
    return not names.isdisjoint(live) or bool(unused_since(root, names))


def delete_unheard(root: AnyPath, added: Sequence[AddAction]) -> None:
    """Delete files that no commit adds."""
    for action in added:
        (root / action.path).unlink(missing_ok=True)


def files_of(table: Any) -> list[tuple[str, str, int]]:
    """Return the path, the day and the size of each file, in the order of their paths."""
    actions = pa.table(table.get_add_actions(flatten=True))
    columns = (actions[name].to_pylist() for name in ("path", f"partition.{DAY}", "size_bytes"))
    return sorted(zip(*columns, strict=True))


def _by_day(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    days = pc.strftime(rows[EVENT_TIMESTAMP], "%Y-%m-%d")
    for day in sorted(pc.unique(days).to_pylist()):
        yield day, rows.filter(pc.equal(days, day))


def _statistics(rows: pa.Table) -> str:
    least, most = {}, {}
    for name in (EVENT_TIMESTAMP, CREATED):
        found = pc.min_max(rows[name]).as_py()
        least[name], most[name] = (
            found[one].isoformat(timespec="microseconds").replace("+00:00", "Z") for one in ("min", "max")
        )
    return json.dumps({"numRecords": len(rows), "minValues": least, "maxValues": most})


def _days(table: Any) -> dict[str, int]:
    """Return all days, in order, each with how many small files it has."""
    days: dict[str, int] = defaultdict(int)
    for _, day, size in files_of(table):
        days[day] += size < TARGET_BYTES // 2
    return dict(sorted(days.items()))
