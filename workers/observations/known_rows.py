"""What is known ahead, from records as they come: of several rows of one series and time the newest is kept.

In: records, in any order and in any portions. Out: a table as one that is given whole (`windows.known`), and how many
rows are none. Which row is the newest follows from the rows and their places alone: the greatest `created`, if the
specification has one, then the last by the record's time, partition and offset. Knows no Kafka.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from undertow.observations.created_order import BEFORE_ALL, CREATED, order_of_pairs
from undertow.observations.faults import explain_rows
from undertow.observations.from_tables import table_form
from undertow.observations.plan import WindowPlan
from undertow.observations.read import TableForm, read_observations
from undertow.observations.record_rows import ReadRows, RecordRows, row_schema
from undertow.observations.table_columns import whole_column
from undertow.schemas.arrow_columns import Rows, not_null
from undertow.schemas.contract import IdColumn, InputContract
from undertow.schemas.records import Record
from undertow.schemas.times import FIRST_US, LAST_US

MERGE_ROWS = 1 << 16
"""Rows that have come are merged with those that are held once there are so many, or as many as are held: each row is
then moved a few times at most, however many portions they come in. A choice."""
_ORDER = (CREATED, "@rest", "@appended", "@partition", "@offset", "@row")
"""What orders rows of one series and time, the first decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadKnown:
    """Rows of records that nothing is known by."""

    rows: int = 0
    """A record that cannot be read at all counts as one."""
    example: str = ""
    """The last of them: where it is, and what was expected and found."""


def known_form(plan: WindowPlan) -> TableForm:
    """Return how records of what is known ahead are to be read."""
    form = table_form(plan, [one.column for one in plan.of("known")])
    return replace(form, created="") if form.created == form.time else form  # of equal times all are


def known_names(calendar: Collection[str], contract: InputContract) -> list[str]:
    """Return the columns that are known ahead, but for those that follow from the time."""
    return [column.name for column in contract.future if column.name not in calendar]


def empty_known(plan: WindowPlan) -> pa.Table:
    """Return a table by which nothing is known."""
    form = known_form(plan)
    return row_schema(form).empty_table().select(_kept(form, form.ids))


class KnownRows:
    """The newest row of each series and time. One thread owns it."""

    def __init__(
        self, plan: WindowPlan, read: ReadRows, *, keep_us: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        """Hold nothing. Rows that are older than `keep_us` by the clock, in seconds since the epoch, are let go of.

        0 keeps all of them.
        """
        self._plan, self._read, self._keep_us, self._clock = plan, read, keep_us, clock
        self._form = replace(known_form(plan), zone="", fold="refuse", created="")
        self._ids: Sequence[IdColumn] | None = None
        self._held: pa.Table | None = None
        self._new: list[pa.Table] = []
        self._new_rows = 0

    def __len__(self) -> int:
        self._merge()
        return 0 if self._held is None else int(self._held.num_rows)

    def take(self, records: Sequence[Record]) -> BadKnown:
        """Take records. Never raises, whatever they hold, except `Unavailable` where a registry does not answer.

        Those without a value are passed over: they end a key of a topic that is compacted. The first that can be read
        say by which ids rows are known; others are bad then.
        """
        records = [record for record in records if record.value is not None]
        rows = self._read(records)
        faults = [(position, detail) for position, found in rows.faults.items() for _, detail in found]
        count = len(faults)
        if rows.table.num_rows:
            more, last = self._hold(rows, records)
            count, faults = count + more, faults + last
        if not faults:
            return BadKnown()
        position, detail = max(faults)
        return BadKnown(rows=count, example=f"{records[position].partition}@{records[position].offset}: {detail}")

    def table(self) -> pa.Table:
        """Return the newest rows: ids, if there are any, the time, and what is known."""
        self._merge()
        if self._held is None:
            return empty_known(self._plan)
        return self._held.select(_kept(self._form, self._ids or ()))

    def forget(self) -> None:
        """Hold nothing again."""
        self._ids, self._held, self._new, self._new_rows = None, None, [], 0

    def _hold(self, rows: RecordRows, records: Sequence[Record]) -> tuple[int, list[tuple[int, str]]]:
        """Hold good rows; return how many are bad, and the record and the reason of the last ones."""
        table = rows.table
        if self._ids is None:
            good = read_observations(table, replace(self._form, ids=())).rows
            if len(good):  # the first that has a time, and what is known, says which ids it needs
                first = int(good[0])
                self._ids = [one for one in self._plan.contract.series if table[one.name][first].is_valid]
        seen = read_observations(table, replace(self._form, ids=self._ids or ()))
        last = explain_rows([one.take(slice(-1, None)) for one in seen.bad], table)
        usable, others = self._of_the_same_ids(table, seen.rows)
        count = sum(len(one.rows) for one in seen.bad) + len(seen.rows) - len(usable)
        bad = (
            count,
            [(int(rows.record_of[row]), detail) for row, detail in [*((one.row, one.detail) for one in last), *others]],
        )
        if not len(usable):
            return bad
        of = [records[position] for position in rows.record_of[usable].tolist()]
        kept = table.take(pa.array(usable))
        columns = {name: kept[name] for name in _kept(self._form, self._ids or ())}
        order = np.tile(BEFORE_ALL, (len(of), 1))
        if known_form(self._plan).created:
            order = order_of_pairs(whole_column(kept, CREATED))
        held = pa.table(
            columns
            | {
                CREATED: order[:, 0],
                "@rest": order[:, 1],
                "@appended": np.array([_within(record.appended_us) for record in of], np.int64),
                "@partition": np.array([record.partition.index for record in of], np.int32),
                "@offset": np.array([record.offset for record in of], np.int64),
                "@row": usable.astype(np.int64),
            }
        )
        self._new.append(held)
        self._new_rows += held.num_rows
        if self._new_rows >= max(MERGE_ROWS, 0 if self._held is None else self._held.num_rows):
            self._merge()
        return bad

    def _of_the_same_ids(self, table: pa.Table, usable: Rows) -> tuple[Rows, list[tuple[int, str]]]:
        """Leave out rows that have other ids, too, or what is known of one series would become that of all.

        Return the others, and for each id the last row that has it, with its fault.
        """
        last = []
        for one in self._plan.contract.series:
            if one in (self._ids or ()):
                continue
            has_it = not_null(whole_column(table, one.name))[usable]
            if has_it.any():
                row = int(usable[has_it][-1])
                found = table[one.name][row].as_py()
                last.append((row, f"{one.name}: expected none, as in the first row that was read, found {found}"))
                usable = usable[~has_it]
        return usable, last

    def _merge(self) -> None:
        """Leave of each series and time the newest row, and none that is too old."""
        if self._new:
            pieces = self._new if self._held is None else [self._held, *self._new]
            table = pa.concat_tables(pieces).combine_chunks()
            self._held, self._new, self._new_rows = (
                table.take(pa.array(_newest(table, self._form.time, self._ids))),
                [],
                0,
            )
        if self._keep_us and self._held is not None:
            since = self._clock() * 1e6 - self._keep_us
            kept = _microseconds(self._held[self._form.time]) >= since
            if not kept.all():
                self._held = self._held.filter(pa.array(kept))


def _kept(form: TableForm, ids: Sequence[IdColumn]) -> list[str]:
    return list(dict.fromkeys([*(one.name for one in ids), form.time, *(column.name for column in form.columns)]))


def _newest(table: pa.Table, time_column: str, ids: Sequence[IdColumn] | None) -> Rows:
    """Return the places of the newest rows, by series, in the order in which these came, then time."""
    series = np.zeros(table.num_rows, np.int64)
    for place, one in enumerate(ids or ()):
        coded = table[one.name].combine_chunks().dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int64)
        series = codes if not place else np.unique(series * len(coded.dictionary) + codes, return_inverse=True)[1]
    time_us = _microseconds(table[time_column])
    first = int(time_us.min())
    span = int(time_us.max()) - first + 1
    if (int(series.max()) + 1) * span < np.iinfo(np.int64).max:
        # What is held is in this order already, and then a stable sort takes little longer than a look at each.
        order = np.argsort(series * span + (time_us - first), kind="stable")
    else:
        order = np.lexsort((time_us, series))
    same = (series[order][1:] == series[order][:-1]) & (time_us[order][1:] == time_us[order][:-1])
    if same.any():
        shares = np.zeros(len(order), np.bool_)
        shares[1:] |= same
        shares[:-1] |= same
        places = np.flatnonzero(shares)
        group = np.cumsum(np.concatenate([[True], ~same]))[places]
        tied = order[places]
        keys = [table[name].to_numpy()[tied] for name in reversed(_ORDER)]
        order[places] = tied[np.lexsort((*keys, group))]
    last: Rows = order[np.append(~same, True)]
    return last


def _microseconds(times: pa.ChunkedArray) -> Rows:
    array: Rows = times.cast(pa.int64()).to_numpy()
    return array


def _within(appended_us: int) -> int:
    """Return a record's time; a producer may write any number there."""
    return min(max(appended_us, FIRST_US), LAST_US)
