"""The Arrow wire format: one record is an IPC stream of one record batch, with a window in each row.

In: records, or a batch of windows. Out: `Decoded`, with rejects located to the row, or the bytes of records. Knows
neither Kafka nor models.

A record with bad rows becomes one reject, however many rows are bad; the windows of its other rows are kept. When the
repaired record is sent again, these are embedded once more, which is harmless: the effects are idempotent.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from undertow.schemas.arrow_columns import Rows
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.arrow_ipc import read_batch
from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.documents import size_fault
from undertow.schemas.records import MOST_DETAILS, Record, Reject, join_details
from undertow.schemas.window_faults import WindowFault
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import ArrowWindows, window_schema, windows_from_arrow, windows_to_arrow


def decode_arrow(records: Sequence[Record], contract: InputContract, *, max_record_bytes: int) -> Decoded:
    """Decode records of many windows each. Never raises, whatever they hold."""
    ours = window_schema(contract)
    faults: dict[int, WindowFault] = {}
    batches: dict[int, pa.RecordBatch] = {}
    for position, record in enumerate(records):
        batch = _read(record.value or b"", contract, ours, max_record_bytes)
        if isinstance(batch, tuple):
            faults[position] = batch
        else:
            batches[position] = batch
    parts: list[tuple[ArrowWindows, Rows]] = []
    # Reading has a fixed cost of a fraction of a millisecond, so records of our own schema are read together.
    for _, group in groupby(batches, lambda position: -1 if batches[position].schema.equals(ours) else position):
        together = np.fromiter(group, np.int64)
        read, owners = _read_together([batches[position] for position in together.tolist()], contract)
        parts.append((read, together[owners[read.rows]]))
        details: dict[int, list[WindowFault]] = {}
        for bad in read.bad:
            of_record = bad.row - int(np.searchsorted(owners, owners[bad.row]))
            details.setdefault(int(together[owners[bad.row]]), []).append(
                (bad.reason, f"row {of_record}: {bad.detail}")
            )
        for position, found in details.items():
            kept = int(np.count_nonzero(parts[-1][1] == position))
            unexplained = batches[position].num_rows - kept - len(found)
            faults[position] = found[0][0], join_details([detail for _, detail in found], unexplained)
    if not parts:
        parts.append((windows_from_arrow(ours.empty_table(), contract), np.zeros(0, np.int64)))
    return Decoded(
        windows=parts[0][0].windows if len(parts) == 1 else WindowBatch.concat([read.windows for read, _ in parts]),
        record_of=np.concatenate([record_of for _, record_of in parts]),
        rejects=tuple(
            Reject(record=records[position], reason=reason, detail=detail)
            for position, (reason, detail) in sorted(faults.items())
        ),
        ignored_columns=sum(read.ignored_columns for read, _ in parts),
    )


def encode_arrow(windows: WindowBatch, contract: InputContract) -> bytes:
    """Return the value of one record with all the windows."""
    table = windows_to_arrow(windows, contract).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=max(1, len(windows)))
    value: bytes = sink.getvalue().to_pybytes()
    return value


def _read(
    value: bytes, contract: InputContract, ours: pa.Schema, max_record_bytes: int
) -> pa.RecordBatch | WindowFault:
    """Return a record's batch, or why it cannot hold windows; `ours` is the schema that we write."""
    fault = size_fault(value, max_record_bytes)
    if fault is not None:
        return fault
    batch = read_batch(value, ours)
    if isinstance(batch, tuple):
        return batch
    if not batch.num_rows:
        return "empty", "expected at least one window, found a record batch without rows"
    fault = None if batch.schema.equals(ours) else schema_fault(batch.schema, contract)
    return batch if fault is None else fault


def _read_together(batches: Sequence[pa.RecordBatch], contract: InputContract) -> tuple[ArrowWindows, Rows]:
    """Read batches of one schema; return also the batch of each row."""
    owners = np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches])

    def first_of_each(bad: Rows) -> Rows:
        firsts = np.searchsorted(owners[bad], owners[bad])
        return bad[np.arange(len(bad)) - firsts < MOST_DETAILS]

    table = pa.Table.from_batches(batches) if len(batches) > 1 else batches[0]
    return windows_from_arrow(table.combine_chunks() if len(batches) > 1 else table, contract, first_of_each), owners
