"""The version of a row, `created_us`: of rows of one series and event time the greatest wins, in every store.

In: the timestamps of records, the last `created_us` of their chains, the start of a backfill. Out: `created_us`,
microseconds since the epoch. Knows no clock: a zombie and its successor must give a record the same version, or the
zombie's late write could win over a correction. So it depends on the partition's log alone: a record's timestamp in
Kafka, made strictly increasing within the partition, whatever the clocks of producers say.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.times import LAST_US

STEP_US = 64
"""Between two rows of a chain. The values between belong to others: the even ones to chains of other partitions, the
odd ones to backfills, so that rows of one event time and millisecond still have an order."""
CHAINS = STEP_US // 2
BACKFILL_STEP_US = 2

Ints = NDArray[np.int64]


def stamp(
    partition: Ints, appended_us: Ints, record_of: Ints, latest: Mapping[int, int]
) -> tuple[Ints, dict[int, int]]:
    """Return `created_us` of each window, and by partition that of its last record, rejected or not.

    `partition` and `appended_us` are those of the records, in log order; `record_of` is the index of each window's
    record, ascending; `latest` is the last `created_us` of each partition's chain. A record advances by one step for
    each of its windows, at least one.
    """
    steps = np.maximum(np.bincount(record_of, minlength=len(partition)), 1)
    timestamp = np.clip(appended_us, 0, LAST_US) // STEP_US
    begin = np.empty(len(partition), np.int64)
    after = dict(latest)
    for index in np.unique(partition).tolist():
        mine = np.flatnonzero(partition == index)
        before = np.cumsum(steps[mine]) - steps[mine]
        earliest = timestamp[mine]
        earliest[0] = max(earliest[0], latest.get(index, 0) // STEP_US + 1)
        begin[mine] = before + np.maximum.accumulate(earliest - before)
        after[index] = int(begin[mine[-1]] + steps[mine[-1]] - 1) * STEP_US + index % CHAINS * 2
    rank = np.arange(len(record_of)) - np.searchsorted(record_of, record_of)
    created_us = (begin[record_of] + rank) * STEP_US + partition[record_of] % CHAINS * 2
    return created_us, after


def backfill_begin(now_us: int, latest_us: int) -> int:
    """Return `created_us` of a backfill's first row: now, but greater than any in the log."""
    return max(now_us, latest_us + 1) | 1


def stamp_backfill(begin_us: int, rows: Ints) -> Ints:
    """Return `created_us` of rows of a backfill, from their indices in its whole history."""
    return begin_us + rows * BACKFILL_STEP_US
