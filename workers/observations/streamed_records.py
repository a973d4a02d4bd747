"""From records of observations to windows: a `Decode` that remembers what it has seen.

In: records of the partitions that are read, each once and in order. Out: `Decoded`: the windows that they complete,
and rejects. Knows no source: who assigns partitions says from which offset on windows are wanted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from undertow.observations.beginning_anew import begin_anew
from undertow.observations.created_order import CREATED
from undertow.observations.faults import BadRows, explain_rows
from undertow.observations.from_tables import table_form
from undertow.observations.read import Observations, TableForm, read_observations
from undertow.observations.record_faults import RecordFaults, told_of_each
from undertow.observations.record_rows import ReadRows, RecordRows
from undertow.observations.series_places import PARTITION
from undertow.observations.streamed import StreamedSeries
from undertow.observations.taken import RecordPlaces
from undertow.observations.windowed import LEFT_OUT
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.contract import IdColumn
from undertow.schemas.decoded import Decoded
from undertow.schemas.event_times import EventTimes
from undertow.schemas.records import Partition, Record, Reject

Told = Callable[[str, int, str], object]
"""Called with what has happened: `left-out` (windows that are not made), `astray` (a series in two partitions) or
`anew` (series begin anew behind a record), how many, and an example or a reason."""


_LAST_APPENDED_US = 4_102_444_800_000_000
"""2100-01-01. A choice: later ones are of a producer that counts in another unit."""


class StreamedRecords:
    """Decodes records of observations. One thread owns it."""

    def __init__(
        self,
        series: StreamedSeries,
        read: ReadRows,
        *,
        times_at: Callable[[float], EventTimes],
        told: Told = lambda _what, _count, _why: None,
    ) -> None:
        """Take `series` as it is. `times_at` says which event times are accepted at a time in seconds."""
        self.series, self._read, self._times_at, self._told = series, read, times_at, told
        form = table_form(series.plan, series.columns)
        ids, created = (*form.ids, IdColumn(name=PARTITION, type="integer")), CREATED if form.created else ""
        self._form = replace(form, ids=ids, created=created, zone="", fold="refuse")
        self.warming: Mapping[Partition, int] = {}
        """Partitions that are read once more, and up to which offset: nothing is made of these records."""
        self.refused: Mapping[Partition, Mapping[int, bool]] = {}
        """Which of these were refused in quarantine when they were read first, and whether they were looked at."""
        self.refusing: tuple[str, str] | None = None
        """Reason and detail, where all records are refused that are decoded now: each ended who took it.

        What ended him is a window, which may be of what was held before. So the series that such a record names begin
        anew behind it, or else the next record would make the same window, or one with the same value.
        """

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Take records; return the windows that they complete. Never raises, whatever they hold."""
        until = self.warming
        if until:
            records = [record for record in records if record.offset < until.get(record.partition, record.offset + 1)]
        if self.refused:
            records = [record for record in records if self._is_seen(record) is not False]
        rows = self._read(records)  # first: where this raises, nothing was taken
        places, faults = _places(records, until), RecordFaults(rows.faults)
        rows = self._hold_times(rows, places.appended_us, faults)
        if self.refusing is not None:
            return self._refuse(records, rows, *self.refusing)
        first = 0
        for position, record in enumerate(records if self.refused else ()):
            if self._is_seen(record):  # it is read once more, so nothing is made of those before it either
                self._take(records, places, _of(rows, first, position), RecordFaults({}))
                begin_anew(self.series, self._named(_of(rows, position, position + 1)))
                first = position + 1
        return self._take(records, places, _of(rows, first, len(records)) if first else rows, faults)

    def _refuse(self, records: Sequence[Record], rows: RecordRows, reason: str, detail: str) -> Decoded:
        """Take nothing of records, and let the series begin anew that they name."""
        rejects = []
        for position, record in enumerate(records):
            said = detail
            if series := begin_anew(self.series, self._named(_of(rows, position, position + 1))):
                self._told("anew", series, f"{record.partition}@{record.offset}")
                said += f"; the series that it names ({series:,}) begin anew: their windows reach back to it at most"
            rejects.append(Reject(record=record, reason=reason, detail=said))
        nothing = self._take([], _places([], {}), _of(rows, 0, 0), RecordFaults({}))
        return replace(nothing, rejects=tuple(rejects))

    def _is_seen(self, record: Record) -> bool | None:
        """Whether a record that was refused was looked at when it was; None of any other."""
        return self.refused.get(record.partition, {}).get(record.offset)

    def _named(self, rows: RecordRows) -> Observations:
        return read_observations(rows.table, self._form)

    def _take(self, records: Sequence[Record], places: RecordPlaces, rows: RecordRows, faults: RecordFaults) -> Decoded:
        seen = read_observations(rows.table, self._form)
        _explain(seen.bad, rows, faults)
        taken = self.series.take(seen, rows.record_of[seen.rows], places)
        if taken.astray:
            self._told("astray", 1, taken.astray)
        for reason, count in taken.left_out.items():
            self._told("left-out", count, LEFT_OUT[reason])
        rejects = [one for one in faults.rejects(records, taken.refused) if one.record.partition not in self.warming]
        return Decoded(windows=taken.windows, record_of=taken.record_of, rejects=tuple(rejects))

    def _hold_times(self, rows: RecordRows, appended_us: Rows, faults: RecordFaults) -> RecordRows:
        """Leave out times that cannot be meant, by the time at which a record was appended: no clock of ours counts."""
        time_us = rows.table[self._form.time].to_numpy().astype("datetime64[us]").astype(np.int64)
        appended_us = appended_us[rows.record_of]
        limits = self._times_at(0.0)  # so its end is how far a time may be ahead
        # A broker's record has a time of its own; without one (-1 ms) nothing is known of what is ahead.
        ahead_us = np.where(appended_us > 0, appended_us + limits.last_us, np.iinfo(np.int64).max)
        good = (time_us >= limits.first_us) & (time_us <= ahead_us)
        if good.all():
            return rows
        bad = np.flatnonzero(~good)
        told, more = told_of_each(rows.record_of[bad])
        for row, others in zip(bad[told].tolist(), more.tolist(), strict=True):
            own = self._times_at(int(appended_us[row]) / 1e6)
            detail = f"{self._form.time}: {own.explain(int(time_us[row])).removeprefix('end: ')}"
            faults.add(int(rows.record_of[row]), "event-time", detail, others)
        return replace(rows, table=rows.table.filter(good), record_of=rows.record_of[good])


def _of(rows: RecordRows, first: int, after: int) -> RecordRows:
    """Return the rows of some records, from one up to another."""
    begin, end = np.searchsorted(rows.record_of, [first, after]).tolist()
    return replace(rows, table=rows.table.slice(begin, end - begin), record_of=rows.record_of[begin:end])


def _explain(bad: Sequence[BadRows], rows: RecordRows, faults: RecordFaults) -> None:
    """Tell of rows in their order: the first few of all checks are among the first few of each."""
    more_of: dict[int, int] = {}
    some = []
    for one in bad:
        told, more = told_of_each(rows.record_of[one.rows])
        some.append(one.take(told))
        more_of |= dict(zip(one.rows[told].tolist(), more.tolist(), strict=True))
    for fault in explain_rows(some, rows.table):
        faults.add(int(rows.record_of[fault.row]), fault.reason, fault.detail, more_of[fault.row])


def _places(records: Sequence[Record], warming: Collection[Partition]) -> RecordPlaces:
    """Return where records are; with 0 for a time that no clock has shown: a producer may write any number there."""
    return RecordPlaces(
        partition=np.array([record.partition.index for record in records], np.int64),
        offset=np.array([record.offset for record in records], np.int64),
        appended_us=np.array(
            [at if 0 < (at := record.appended_us) <= _LAST_APPENDED_US else 0 for record in records], np.int64
        ),
        emits=np.array([record.partition not in warming for record in records], np.bool_)
        if warming
        else np.ones(len(records), np.bool_),
    )


def read_form(series: StreamedSeries) -> TableForm:
    """Return how the records' rows are to be read, before they are in one set of types."""
    return table_form(series.plan, series.columns)
