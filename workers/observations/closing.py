"""Which cells are closed, and by which record: by the event times of one series, and no clock.

In: observations in the order of a partition's records. Out: which of them are late, and the record that closes a cell.
A cell is closed once an observation of its series has been seen that is `lateness` later than the cell's last moment.
All observations of a record are taken before cells are closed by it. Knows neither values nor windows.
"""

from dataclasses import dataclass

import numpy as np

from undertow.observations.grid import Grid
from undertow.schemas.arrow_columns import Mask, Rows

NOTHING_SEEN = np.iinfo(np.int64).min
"""The newest event time of a series of which nothing was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """When cells are closed."""

    grid: Grid
    lateness_us: int

    def due_us(self, index: Rows) -> Rows:
        """Return (n,) the newest event time of its series from which on the cell of a grid point is closed."""
        return self.grid.times(index) + self._slack_us

    def index(self, due_us: Rows) -> Rows:
        """Return (n,) the grid points whose cells are closed from then on."""
        return (due_us - (self.grid.origin_us + self._slack_us)) // self.grid.every_us

    @property
    def _slack_us(self) -> int:
        return self.grid.tolerance_us + self.lateness_us  # tolerance is 0 with `until`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """How the newest event times of m series have moved, by record: groups are observations of a series in a record."""

    newest_before: Rows
    """(n,) of each observation's series, before its record."""
    newest: Rows
    """(m,) after all of them."""
    records: Rows
    """(groups,) the record of each."""
    levels: Rows | None = None
    """The distinct event times that matter, ascending. None where each series has one group: then that closes cells."""
    keys: Rows | None = None
    """(groups,) the series, times the number of levels, plus the level of its newest after the group: ascending."""

    def closer(self, series: Rows, due_us: Rows) -> Rows:
        """Return the record by which cells have been closed, all of which have been now and had not been before."""
        if self.levels is None or self.keys is None:
            return self.records[series]
        level = np.searchsorted(self.levels, due_us)
        place = np.searchsorted(self.keys, series * len(self.levels) + level)
        return self.records[place]


def follow(series: Rows, record: Rows, time_us: Rows, newest_us: Rows) -> Moves:
    """Follow n observations, ordered by record, of series 0 to m - 1, each of which has one at least.

    `newest_us` is (m,), from before.
    """
    if len(series) == len(newest_us):  # one observation of each
        at, by = np.empty_like(time_us), np.empty_like(record)
        at[series], by[series] = time_us, record
        return Moves(newest_before=newest_us[series], newest=np.maximum(newest_us, at), records=by)
    order = np.argsort(series, kind="stable")
    of, by, at = series[order], record[order], time_us[order]
    opens = np.ones(len(order), np.bool_)
    opens[1:] = (of[1:] != of[:-1]) | (by[1:] != by[:-1])
    starts = np.flatnonzero(opens)
    greatest, mine = np.maximum.reduceat(at, starts) if len(starts) else at, of[starts]
    if len(starts) == len(newest_us):  # one record of each
        newest = np.maximum(newest_us, greatest)
        return Moves(newest_before=newest_us[series], newest=newest, records=by[starts])
    is_first = _begins(mine)
    levels = np.unique(np.concatenate([newest_us, greatest]))
    greatest[is_first] = np.maximum(greatest[is_first], newest_us[mine[is_first]])
    # Within a series the greatest so far; a later series' keys are greater than all of an earlier one's.
    keys = np.maximum.accumulate(mine * len(levels) + np.searchsorted(levels, greatest))
    after = levels[keys - mine * len(levels)]
    before = np.where(is_first, newest_us[mine], np.concatenate([newest_us[:1], after[:-1]]))
    newest_before = np.empty(len(order), np.int64)
    newest_before[order] = before[np.cumsum(opens) - 1]
    newest = newest_us.copy()
    newest[mine] = after  # groups are in order: the last of a series stays
    return Moves(newest_before=newest_before, newest=newest, levels=levels, keys=keys, records=by[starts])


def _begins(series: Rows) -> Mask:
    begins = np.ones(len(series), np.bool_)
    begins[1:] = series[1:] != series[:-1]
    return begins
