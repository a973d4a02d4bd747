"""`undertow maintain`: fold chains into the table of history, and delete what is in it twice.

In: a view's chains, its backfill jobs and its table, as ports. Out: the same rows in fewer files, and what was done.
Knows neither folders nor Delta Lake. It may be killed at any step, and run any number of times at once:

1. What parts say besides their rows is kept beside the chain, and rows are written to files of the table that no
   version has yet. Killed here: the files are vacuumed later.
2. One transaction adds them and moves their chains' positions. Of two maintainers one is refused.
3. Each chain notes the position. Killed before: the next run notes it, since the table says so.
4. Parts before a note that is older than the grace time are deleted, never the last of a chain. Killed in between: the
   next run deletes the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pyarrow as pa

from undertow.core.errors import UndertowError
from undertow.history.fold import FoldBatch, deletable, note_of, plan, require_table_of
from undertow.schemas.wording import counted
from undertow.stream.history_ports import Chains, FoldChain, HistoryTable, TableSnapshot
from undertow.stream.ports import Clock

BATCH_BYTES = 64 << 20
"""Bytes of parts in one transaction, which is held in memory three times. A choice."""
VACUUM_S = 86_400.0
"""Files that a newer version replaced stay at least so long, and what nobody committed. Whoever stood still for so long
between writing and committing is refused by the transaction of the one who folded the same chains before vacuuming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintained:
    """What one run did to one view."""

    folded: int = 0
    """How many parts it put into the table, chunks of backfills among them."""
    rows: int = 0
    deleted: int = 0
    """How many parts it deleted."""
    waiting: int = 0
    """How many chunks wait until their job has written nothing for a while."""
    compacted: int = 0
    expired: int = 0
    vacuumed: int = 0
    faults: tuple[str, ...] = ()
    """Why chains, or the table's files, were left as they are."""
    is_beaten: bool = False
    """Whether another maintainer folded the same chains meanwhile; then it has done this run's work."""

    @property
    def has_changed(self) -> bool:
        """Whether anything was done."""
        return any((self.folded, self.deleted, self.compacted, self.expired, self.vacuumed))

    def __add__(self, other: "Maintained") -> "Maintained":
        return Maintained(
            folded=self.folded + other.folded,
            rows=self.rows + other.rows,
            deleted=self.deleted + other.deleted,
            waiting=self.waiting + other.waiting,
            compacted=self.compacted + other.compacted,
            expired=self.expired + other.expired,
            vacuumed=self.vacuumed + other.vacuumed,
            faults=self.faults + other.faults,
            is_beaten=self.is_beaten or other.is_beaten,
        )

    def __str__(self) -> str:
        """Return it in words."""
        said = (
            f"{counted(self.folded, 'part')} folded into the table of history ({counted(self.rows, 'row')}), "
            f"{counted(self.deleted, 'part')} deleted"
        )
        for count, done in ((self.compacted, "merged"), (self.expired, "expired"), (self.vacuumed, "vacuumed")):
            said += f", {counted(count, 'file')} {done}" if count else ""
        if self.waiting:
            said += f"; {counted(self.waiting, 'chunk')} of backfills that may go on will be folded later"
        return said + ("; another maintainer was faster" if self.is_beaten else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainLimits:
    """How much is done at once, and how long what was replaced stays."""

    grace_seconds: float
    keep_days: int = 0
    """Days of event time that the table keeps; 0 for ever."""
    batch_bytes: int = BATCH_BYTES


def maintain(
    chains: Chains, table: HistoryTable, limits: MaintainLimits, *, clock: Clock, jobs: Chains | None = None
) -> Maintained:
    """Maintain one view. Raises `Refused`, `Unavailable`: what was committed till then stays.

    A job that cannot be folded is told of as a fault.
    """
    sources = [chains] if jobs is None else [chains, jobs]
    looked = [source.look() for source in sources]
    done = Maintained(faults=tuple(fault for _, faults in looked for fault in faults))
    snapshot = table.snapshot()
    together: list[tuple[Chains, list[FoldChain]]] = []
    for source, (found, _) in zip(sources, looked, strict=True):
        sound, faults = _sound(found, snapshot)
        done += Maintained(faults=faults, waiting=sum(job.waiting for job in found))
        together += [(source, sound)] if source is chains else [(source, [job]) for job in sound]
    for source, some in together:
        try:
            done += _fold(source, some, snapshot, limits, clock)
        except UndertowError as error:
            if source is chains:
                raise
            done += Maintained(faults=(str(error),))
        if done.is_beaten:
            return done
    # With a fault nothing is vacuumed: see VACUUM_S.
    if not done.faults:
        done += _tidy(table, limits, clock)
    names = {chain.name for _, some in together for chain in some}
    for source in sources:
        for chain in source.look()[0]:
            if (
                chain.name in names
                and (before := deletable(chain, now_s=clock(), grace_seconds=limits.grace_seconds)) is not None
            ):
                done += Maintained(deleted=source.delete(chain, before))
    return done


def _sound(found: Sequence[FoldChain], snapshot: TableSnapshot) -> tuple[list[FoldChain], tuple[str, ...]]:
    """Return the chains that the table goes with, and why others are left as they are."""
    sound, faults = [], []
    for chain in found:
        try:
            require_table_of(chain, snapshot.folded(chain.id))
            sound.append(chain)
        except UndertowError as error:
            faults.append(str(error))
    return sound, tuple(faults)


def _tidy(table: HistoryTable, limits: MaintainLimits, clock: Clock) -> Maintained:
    now = datetime.fromtimestamp(clock(), UTC).date()
    keep_since = now - timedelta(days=limits.keep_days) if limits.keep_days else None
    try:
        tidied = table.tidy(keep_since=keep_since, readers_s=max(limits.grace_seconds, VACUUM_S))
    except UndertowError as error:
        return Maintained(faults=(str(error),))
    return Maintained(compacted=tidied.compacted, expired=tidied.expired, vacuumed=tidied.vacuumed)


def _fold(
    chains: Chains, found: list[FoldChain], snapshot: TableSnapshot, limits: MaintainLimits, clock: Clock
) -> Maintained:
    done = Maintained()
    begun = {chain.id: snapshot.folded(chain.id) for chain in found}
    for batch in plan(found, begun, batch_bytes=limits.batch_bytes):
        for chain in found:
            if chain.id in batch.moves:
                chains.keep(chain, batch.moves[chain.id].upto)
        rows = pa.concat_tables(_rows(chains, batch))
        if not snapshot.append(rows, batch.moves):
            return done + Maintained(is_beaten=True)
        done += Maintained(folded=batch.files, rows=len(rows))
    for chain in found:
        if (note := note_of(chain, snapshot.folded(chain.id), now_s=clock())) is not None:
            chains.note(chain, note)
    return done


def _rows(chains: Chains, batch: FoldBatch) -> Iterator[pa.Table]:
    for _, parts in groupby(batch.parts, key=lambda part: part[0].id):
        found = [*parts]
        for rows in chains.read(found[0][0], [position for _, position in found]):
            yield rows.replace_schema_metadata()
