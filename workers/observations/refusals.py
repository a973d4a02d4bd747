"""Why observations of a stream are none: those that came too late, and those that contradict others.

In: rows that were refused, and their records. Out: `Refusal`s, a few of each record, which stand for the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.observations.closing import Moves
from undertow.observations.faults import BadRows
from undertow.observations.read import Observations
from undertow.observations.record_faults import told_of_each
from undertow.observations.spec import WindowSpec
from undertow.observations.taken import RecordPlaces, Refusal
from undertow.schemas.arrow_columns import Mask, Rows
from undertow.schemas.times import format_time


def explain_late(
    spec: WindowSpec, seen: Observations, late: Mask, moves: Moves, record_of: Rows, records: RecordPlaces
) -> list[Refusal]:
    """Explain observations of cells that are closed already; `record_of` (n,) is ascending."""
    rows = np.flatnonzero(late & records.emits[record_of])
    told, more = told_of_each(record_of[rows])
    refused = []
    for row, others in zip(rows[told].tolist(), more.tolist(), strict=True):
        newest, found = format_time(int(moves.newest_before[row])), format_time(int(seen.time_us[row]))
        record = int(record_of[row])
        refused.append(
            Refusal(
                partition=int(records.partition[record]),
                offset=int(records.offset[record]),
                appended_us=int(records.appended_us[record]),
                reason="late",
                detail=f"{spec.time}: expected a time whose grid point is not closed yet, found {found}, when {newest} "
                f"had been seen of its series (windows.lateness = {spec.lateness})",
                more=others,
            )
        )
    return refused


def explain_contradictions(
    closed: Mapping[str, NDArray[Any]],
    series: Rows,
    partition: NDArray[np.int32],
    bad: Sequence[BadRows],
    moves: Moves,
    records: RecordPlaces,
) -> list[Refusal]:
    """Explain observations that are known to be none only now, when their cells are closed.

    `series` (c,) are those of `closed`, `partition` is by the place of a series.
    """
    refused: list[Refusal] = []
    for one in bad:
        emits = records.emits[moves.closer(series[one.rows], closed["due_us"][one.rows])]
        rows = one.rows[emits]
        of, offset = partition[closed["place"][rows]], closed["offset"][rows]
        order = np.lexsort((offset, of))
        _, record = np.unique(np.stack([of, offset], axis=1), axis=0, return_inverse=True)
        told, more = told_of_each(record.reshape(-1)[order])
        refused += [
            Refusal(
                partition=int(of[row]),
                offset=int(offset[row]),
                appended_us=int(closed["appended_us"][rows[row]]),
                reason=one.reason,
                detail=f"{one.column}: expected {one.expected}",
                more=others,
            )
            for row, others in zip(order[told].tolist(), more.tolist(), strict=True)
        ]
    return refused
