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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_history import DELTA_LOG, delta_folder
from undertow.adapters.offline_parts import TABLE, encode_rows, part_schema
from undertow.core.errors import Refused, Unavailable
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.history_ports import Move, Tidied

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
    "delta.targetFileSize": str(TARGET_BYTES),
}
HOUR_S = 3600
CONFLICT = "Concurrent transaction failed"
"""What Delta Lake says where another commit has moved one of the same chains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """One version of a table, as readers see it."""

    table: Any
    files: list[Path]

    def folded(self, chain: str) -> int:
        """Return the position up to which it has the rows of a chain."""
        return int(self.table.transaction_version(chain) or 0)


def read_version(root: Path) -> TableVersion:
    """Return the newest version of a table. Raises `Refused` if there is none that we can read, `Unavailable`."""
    with _translated(root):
        table = DeltaTable(str(root))
        if table.deletion_vectors().read_all().num_rows:
            message = (
                f"the table in {root} has deletion vectors, written by another program, which its files do not show; "
                "rewrite them with that program (REORG TABLE ... APPLY (PURGE))"
            )
            raise Refused(message)
        return TableVersion(table=table, files=[_path(uri) for uri in table.file_uris()])


class DeltaSnapshot:
    """A `TableSnapshot`."""

    def __init__(self, home: Path, view: SpaceView, table: Any) -> None:
        self._home, self._view, self._table = home, view, table

    def folded(self, chain: str) -> int:
        """See the port."""
        return int(self._table.transaction_version(chain) or 0)

    def append(self, rows: pa.Table, moves: Mapping[str, Move]) -> bool:
        """Write a file a day, and commit them. Raises `Unavailable`, `Refused`."""
        if any(self.folded(chain) != move.begin for chain, move in moves.items()):
            return False  # Delta Lake refuses only what was committed after the version that we hold
        adds = [self._write(day, some) for day, some in _by_day(rows)]
        hit_failpoint("after_fold_files")
        transactions = [Transaction(chain, move.upto) for chain, move in moves.items()]
        with _translated(self._home / TABLE):
            try:
                self._table.create_write_transaction(
                    adds,
                    "append",
                    self._table.schema(),
                    [DAY],
                    commit_properties=CommitProperties(app_transactions=transactions),
                )
            except CommitFailedError as error:
                if CONFLICT not in str(error):
                    raise
                for add in adds:  # nobody has heard of them
                    (self._home / TABLE / add.path).unlink(missing_ok=True)
                return False
            hit_failpoint("after_fold_commit")
            self._table.update_incremental()
        return True

    def _write(self, day: str, rows: pa.Table) -> AddAction:
        path = f"{DAY}={day}/{uuid.uuid4().hex}{SUFFIX}"
        order = [*(column.name for column in self._view.series), EVENT_TIMESTAMP, CREATED]
        content = encode_rows(rows.sort_by([(name, "ascending") for name in order]), self._view)
        publish(self._home / TABLE / path, content, within=self._home)
        return AddAction(
            path=path,
            size=len(content),
            partition_values={DAY: day},
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=_statistics(rows),
        )


class DeltaHistory:
    """A `HistoryTable` in a view's folder."""

    def __init__(self, home: Path, view: SpaceView) -> None:
        """Touch nothing yet."""
        self._home, self._root, self._view = home, home / TABLE, view

    def snapshot(self) -> DeltaSnapshot:
        """See the port. Raises `Refused`, `Unavailable`."""
        with _translated(self._root):
            return DeltaSnapshot(self._home, self._view, self._open())

    def tidy(self, *, keep_since: date | None, readers_s: float) -> Tidied:
        """See the port. Raises `Refused`, `Unavailable`."""
        with _translated(self._root):
            table = self._open()
            expired = compacted = 0
            if keep_since is not None and any(day < keep_since.isoformat() for day in _days(table)):
                expired = table.delete(f"{DAY} < '{keep_since.isoformat()}'")["num_removed_files"]
                hit_failpoint("after_fold_expiry")
            for day, small in _days(table).items():
                if small >= LEAST_FILES:
                    compacted += table.optimize.compact([(DAY, "=", day)], max_concurrent_tasks=1)["numFilesRemoved"]
                    hit_failpoint("after_fold_compaction")
            old = self._vacuum(readers_s, dry_run=True)
            if old:  # else it would commit that it did nothing
                self._vacuum(readers_s, dry_run=False)
            return Tidied(compacted=compacted, expired=expired, vacuumed=len(old))

    def _vacuum(self, readers_s: float, *, dry_run: bool) -> list[str]:
        # Full: also files that nobody committed, of a maintainer that was killed.
        found: list[str] = self._open().vacuum(
            retention_hours=int(readers_s // HOUR_S), dry_run=dry_run, enforce_retention_duration=False, full=True
        )
        return found

    def _open(self) -> Any:
        try:
            return DeltaTable(str(self._root))
        except TableNotFoundError:
            self._make()
            return DeltaTable(str(self._root))

    def _make(self) -> None:
        log = delta_folder(self._home)
        log.mkdir(parents=True, exist_ok=True)
        self._root.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (self._root / DELTA_LOG).symlink_to(os.path.relpath(log, self._root), target_is_directory=True)
        schema = part_schema(self._view).append(pa.field(DAY, pa.string()))
        DeltaTable.create(str(self._root), schema, "ignore", [DAY], configuration=CONFIGURATION)


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
    actions = pa.table(table.get_add_actions(flatten=True))
    days: dict[str, int] = defaultdict(int)
    for day, size in zip(actions[f"partition.{DAY}"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True):
        days[day] += size < TARGET_BYTES // 2
    return dict(sorted(days.items()))


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path)) if uri.startswith("file:") else Path(uri)


@contextlib.contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except (CommitFailedError, OSError) as error:
        message = f"the table in {root} could not be read or written ({error}); it will be tried again"
        raise Unavailable(message) from error
    except DeltaError as error:
        message = f"the table in {root} cannot be used ({error}); restore it and {root.parent.parent} from a copy"
        raise Refused(message) from error
