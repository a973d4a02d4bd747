"""The windows of a chunk, whether its rows are windows or observations.

In: chunks. Out: windows in batches, and the rows that are none. Knows no model.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.observation_sort import FILE, ROW
from undertow.backfill.chunks import Chunk, ChunkReader
from undertow.backfill.history_files import history_folder
from undertow.backfill.observed import ObservedHistory
from undertow.observations.from_tables import make_windows
from undertow.observations.windowed import LEFT_OUT, Windows, explain_none
from undertow.schemas.contract import InputContract
from undertow.schemas.event_times import EventTimes, hold_rows
from undertow.schemas.records import Fault
from undertow.schemas.windows_arrow import ArrowWindows, window_schema, windows_from_arrow
from undertow.storage.store_path import AnyPath

_BATCH_WINDOWS = 4096
"""How many windows of observations are made at a time: they overlap, so all of a chunk may not fit into memory."""


class ChunkWindows:
    """Reads chunks of a history; of observations each is a piece that holds whole series."""

    def __init__(
        self, history: AnyPath, contract: InputContract, times: EventTimes, observed: ObservedHistory | None
    ) -> None:
        """`history` is the folder of the pieces, if these are `observed`."""
        columns = window_schema(contract).names if observed is None else [*observed.columns, FILE, ROW]
        self._reader = ChunkReader(history_folder(history), columns)
        self._contract, self._times, self._observed = contract, times, observed
        self.longest = 0
        """The most steps in a row of observations that were read, up to the longest window."""
        self._known = None if observed is None else _table(observed.known)
        self._static = None if observed is None else _table(observed.static)

    @property
    def why_none(self) -> str:
        """Why no window is made of the observations read so far; empty where one was, or rows are windows."""
        plan = None if self._observed is None else self._observed.plan
        return "" if plan is None or self.longest >= plan.min_length else explain_none(plan, self.longest)

    def read(self, chunk: Chunk) -> Iterator[ArrowWindows]:
        """Yield the chunk's windows. Rows are those of the chunk, of observations the numbers of their windows."""
        table = self._reader.read(chunk)
        if self._observed is None:
            yield hold_rows(windows_from_arrow(table, self._contract), self._times)
            return
        made = make_windows(self._observed.plan, table, self._known, self._static)
        self.longest = max(self.longest, made.spans.longest)
        bad = tuple(_faults(made, table))
        for first in range(0, max(len(made), 1), _BATCH_WINDOWS):
            rows = np.arange(first, min(first + _BATCH_WINDOWS, len(made)))
            read = ArrowWindows(windows=made.take(rows), rows=rows, bad=bad, ignored_columns=0)
            yield hold_rows(read, self._times)
            bad = ()


def _faults(made: Windows, table: pa.Table) -> Iterator[Fault]:
    """Yield why observations are none, each with where it came from, and how many windows are not made."""
    for fault in made.faults:
        file, row = table[FILE][fault.row].as_py(), table[ROW][fault.row].as_py()
        yield Fault(row=fault.row, reason=fault.reason, detail=f"row {row} of {file}: {fault.detail}")
    for reason, count in made.left_out.items():
        yield Fault(
            row=0, reason=reason, detail=f"{count:,} windows of this chunk are not made, since {LEFT_OUT[reason]}"
        )


def _table(path: AnyPath | None) -> pa.Table | None:
    if path is None:
        return None
    return pq.read_table(path if isinstance(path, Path) else pa.BufferReader(path.read_bytes()))
