"""Reject implausible event times: too far in the past, or in the future.

In: windows, and the first and the last accepted event time. Out: rejects, which guess the unit that was meant, and a
count of accepted but suspicious times. Knows no wire format and no clock.

A time in a wrong unit does harm: seconds read as microseconds are in January of 1970, and milliseconds read as seconds
are so far ahead that no later window of the series would ever replace that one in an online store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.arrow_columns import Mask
from undertow.schemas.decoded import Decoded
from undertow.schemas.records import MOST_DETAILS, Fault, Record, Reject, join_details, one_for_each_record
from undertow.schemas.times import EPOCH, FIRST_US, LAST_US, format_time, guess_unit
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import ArrowWindows

REASON = "event-time"
_US = 1_000_000
_ODD_BEFORE_US = 631_152_000_000_000  # 1990-01-01


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTimes:
    """The accepted range of event times, in microseconds since the epoch, UTC; by default, all valid times."""

    first_us: int = FIRST_US
    last_us: int = LAST_US
    odd_after_us: int = LAST_US
    """A later time is suspicious even if it is accepted. So is one before 1990."""

    @classmethod
    def at(cls, now_s: float, *, min_us: int, max_ahead_us: int) -> "EventTimes":
        """Return the range at the time `now_s` (seconds since the epoch): from `min_us` to `max_ahead_us` after it.

        Times after the end of the next year are suspicious.
        """
        year = datetime.fromtimestamp(now_s, UTC).year
        end_of_next = datetime(year + 2, 1, 1, tzinfo=UTC) - EPOCH
        return cls(
            first_us=min_us,
            last_us=min(round(now_s * _US) + max_ahead_us, LAST_US),
            odd_after_us=min(round(end_of_next.total_seconds()) * _US - 1, LAST_US),
        )

    def refused(self, ends_us: NDArray[np.int64]) -> Mask:
        """Return (n,) which times are not accepted."""
        return (ends_us < self.first_us) | (ends_us > self.last_us)

    def odd(self, ends_us: NDArray[np.int64]) -> Mask:
        """Return (n,) which times are suspicious, accepted or not."""
        return (ends_us < _ODD_BEFORE_US) | (ends_us > self.odd_after_us)

    def all_usual(self, ends_us: NDArray[np.int64]) -> bool:
        """Whether all times are accepted and none is suspicious, as in nearly every batch: so this is checked first."""
        if not len(ends_us):
            return True
        last = min(self.last_us, self.odd_after_us)
        return max(self.first_us, _ODD_BEFORE_US) <= int(ends_us.min()) and int(ends_us.max()) <= last

    def explain(self, end_us: int) -> str:
        """Return the detail of a reject: the accepted range, the time found, and the unit that was probably meant."""
        expected = f"{format_time(self.first_us)} to {format_time(self.last_us)} (kafka.event_time)"
        return f"end: expected {expected}, found {format_time(end_us)}{guess_unit(end_us)}"


def hold_records(decoded: Decoded, records: Sequence[Record], times: EventTimes) -> Decoded:
    """Remove windows whose event time is not accepted; each makes its record a reject.

    The other windows of a record of many are kept.
    """
    ends = decoded.windows.end_us
    if times.all_usual(ends):
        return decoded
    refused, odd = times.refused(ends), times.odd(ends)
    kept, taken_odd = np.flatnonzero(~refused), np.flatnonzero(odd & ~refused)
    in_record = np.bincount(decoded.record_of)
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(refused).tolist():
        rows.setdefault(int(decoded.record_of[row]), []).append(row)
    rejects = [
        _reject(records[position], decoded.windows, mine, times, names_ids=bool(in_record[position] > 1))
        for position, mine in sorted(rows.items())
    ]
    return replace(
        decoded,
        windows=decoded.windows.take(kept) if rejects else decoded.windows,
        record_of=decoded.record_of[kept],
        rejects=tuple(one_for_each_record([*decoded.rejects, *rejects])),
        odd_times=len(taken_odd),
        odd_time=_whose(decoded.windows, int(taken_odd[-1])) if len(taken_odd) else "",
    )


def hold_rows(read: ArrowWindows, times: EventTimes) -> ArrowWindows:
    """Remove rows of a table whose event time is not accepted; they become faults."""
    refused = times.refused(read.windows.end_us)
    if not refused.any():
        return read
    kept = np.flatnonzero(~refused)
    ends, rows = read.windows.end_us[refused].tolist(), read.rows[refused].tolist()
    bad = [Fault(row=row, reason=REASON, detail=times.explain(end_us)) for row, end_us in zip(rows, ends, strict=True)]
    return replace(
        read,
        windows=read.windows.take(kept),
        rows=read.rows[kept],
        bad=tuple(sorted([*read.bad, *bad], key=lambda one: one.row)),
    )


def _reject(record: Record, windows: WindowBatch, rows: list[int], times: EventTimes, *, names_ids: bool) -> Reject:
    shown = rows[:MOST_DETAILS]
    details = [
        (f"{_ids(windows, row)}: " if names_ids else "") + times.explain(int(windows.end_us[row])) for row in shown
    ]
    return Reject(record=record, reason=REASON, detail=join_details(details, len(rows) - len(shown)))


def _whose(windows: WindowBatch, row: int) -> str:
    end_us = int(windows.end_us[row])
    return f"{_ids(windows, row)}, {format_time(end_us)}{guess_unit(end_us)}"


def _ids(windows: WindowBatch, row: int) -> str:
    return " ".join(f"{name}={str(column[row])[:40]}" for name, column in windows.series.items())
