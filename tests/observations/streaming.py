"""Observations record by record: through the product, and by a plain loop over frames."""

import numpy as np
import pyarrow as pa

from tests.observations.conftest import TIME, made, plainly, table_of
from undertow.observations.beginning_anew import begin_anew
from undertow.observations.from_tables import table_form
from undertow.observations.held_snapshot import freeze, thaw
from undertow.observations.plan import make_plan
from undertow.observations.read import read_observations
from undertow.observations.series_places import PARTITION
from undertow.observations.streamed import StreamedSeries
from undertow.observations.taken import RecordPlaces
from undertow.schemas.contract import IdColumn


def plan_of(spec, contract, known=None, static=None):
    return make_plan(
        spec,
        contract,
        known=() if known is None else known.column_names,
        static=() if static is None else static.column_names,
    )


class Streamed:
    """A stream of one partition or several, which is fed with records: each a list of rows."""

    def __init__(self, spec, contract, kinds, known=None, static=None, *, held_path=None):
        self._given = spec, contract, known, static
        self._held_path = held_path
        self._kinds = kinds
        self.series = self._new()
        self.offset = 0
        self.found, self.refused = [], []
        """(offset of the closing record, window); (offset, reason)."""

    def _new(self):
        spec, contract, known, static = self._given
        return StreamedSeries(plan_of(spec, contract, known, static), known, static, held_path=self._held_path)

    def feed(self, records, *, partition=0, emits=True):
        """Take records at once, as one poll does."""
        owner, seen = self._read(records, partition)
        places = RecordPlaces(
            partition=np.full(len(records), partition),
            offset=self.offset + np.arange(len(records)),
            appended_us=np.zeros(len(records), np.int64),
            emits=np.full(len(records), emits),
        )
        taken = self.series.take(seen, owner[seen.rows], places)
        self.refused += [(self.offset + int(owner[row]), bad.reason) for bad in seen.bad for row in bad.rows]
        self.refused += [(one.offset, one.reason) for one in taken.refused for _ in range(1 + one.more)]
        windows = plainly(_One(taken.windows))
        self.found += list(zip((self.offset + taken.record_of).tolist(), windows, strict=True))
        self.offset += len(records)
        return taken

    def refuse(self, record, *, partition=0):
        """Let the series begin anew that a record names; return how many."""
        self.offset += 1
        return begin_anew(self.series, self._read([record], partition)[1])

    def _read(self, records, partition):
        plan = self.series.plan
        rows = [row for record in records for row in record]
        owner = np.repeat(np.arange(len(records)), [len(record) for record in records]).astype(np.int64)
        table = table_of(rows, self._kinds).append_column(PARTITION, pa.array([partition] * len(rows), pa.int64()))
        form = table_form(plan, self.series.columns)
        ids = (*plan.contract.series, IdColumn(name=PARTITION, type="integer"))
        form = type(form)(**{n: getattr(form, n) for n in form.__slots__} | {"ids": ids})
        return owner, read_observations(table, form)

    def restart(self, *, partition=0):
        """Go on in another process, with what a snapshot holds."""
        content = freeze(self.series, partition).to_bytes({"next": self.offset})
        self.series = self._new()
        thaw(self.series, partition, content)


class _One:
    def __init__(self, batch):
        self._batch = batch

    def batches(self, _rows):
        yield self._batch


def due(row, spec):
    """Return the newest event time from which on the row's cell is closed."""
    since = row[TIME] - spec.origin_us
    if spec.align == "until":
        point, slack = -(-since // spec.every_us), 0
    else:
        point, slack = -((spec.every_us - 2 * since) // (2 * spec.every_us)), spec.tolerance_us
    return spec.origin_us + point * spec.every_us + slack + spec.lateness_us


def plain_stream(records, spec, contract, kinds, known=None, static=None, *, refused=()):
    """Return (windows, late): what frames of all closed rows have more after each record; the offsets of late rows.

    Records at `refused` were not taken, and of the series that they name all rows before them are cut out.
    """

    def frame(rows):
        return plainly(made(table_of(rows, kinds), contract, spec, known, static))

    def is_readable(row):
        windows = made(table_of([row], kinds), contract, spec, known, static)
        return not windows.faults

    newest, accepted, found, late, before = {}, [], [], [], 0
    for offset, record in enumerate(records):
        if offset in refused:
            named = {tuple(row[one.name] for one in contract.series) for row in record if is_readable(row)}
            accepted, before = [(key, row) for key, row in accepted if key not in named], 0
            continue
        moved = dict(newest)
        for row in record:
            if not is_readable(row):
                continue
            key = tuple(row[one.name] for one in contract.series)
            moved[key] = max(moved.get(key, row[TIME]), row[TIME])
            if key in newest and newest[key] >= due(row, spec):
                late.append(offset)
            else:
                accepted.append((key, row))
        newest = moved
        closed = frame([row for key, row in accepted if newest[key] >= due(row, spec)])
        assert len(closed) >= before
        known_before = {text(window) for _, window in found}
        found += [(offset, window) for window in closed if text(window) not in known_before]
        before = len(closed)
    everything = frame([row for _, row in accepted])
    return found, late, everything


def text(window):
    """Return a window so that equal texts are equal bits: a number's shortest text names it alone, NaN too."""
    ids, end, steps, statics = window
    return repr(
        (
            [str(one) for one in ids],
            int(end),
            [step if isinstance(step, str) else {k: _plain(v) for k, v in step.items()} for step in steps],
            {name: _plain(value) for name, value in statics.items()},
        )
    )


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
