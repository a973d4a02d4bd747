"""Observations in Arrow: a record is an IPC stream of one record batch, with a row for each observation.

In: records. Out: `RecordRows`. The columns are those of a table that `undertow.windows` takes. Knows no Kafka.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from undertow.core.errors import Refused
from undertow.observations.read import TableForm
from undertow.observations.record_rows import RecordRows, RowFault, in_one_set_of_types, refusal, to_rows
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.arrow_ipc import read_batch
from undertow.schemas.documents import size_fault
from undertow.schemas.records import Record


def arrow_reader(
    form: TableForm, *, max_record_bytes: int, optional: Collection[str] = ()
) -> Callable[[Sequence[Record]], RecordRows]:
    """Return the function that reads records in Arrow; a column of `optional` may be missing, and is null then."""

    def read(records: Sequence[Record]) -> RecordRows:
        faults: dict[int, list[RowFault]] = {}
        batches: dict[int, pa.RecordBatch] = {}
        for position, record in enumerate(records):
            value = record.value or b""
            batch = size_fault(value, max_record_bytes) or read_batch(value)
            if isinstance(batch, tuple):
                faults[position] = [batch]
            elif not batch.num_rows:
                faults[position] = [("empty", "expected at least one observation, found a record batch without rows")]
            else:
                batches[position] = batch
        pieces: list[tuple[pa.Table, Rows]] = []
        # Records of one schema are read together: reading has a fixed cost.
        for _, group in groupby(batches, lambda position: batches[position].schema):
            together = list(group)
            table = pa.Table.from_batches([batches[position] for position in together])
            for name in {*optional} - {*table.column_names}:
                table = table.append_column(name, pa.nulls(table.num_rows))
            owners = np.repeat(np.array(together, np.int64), [batches[position].num_rows for position in together])
            try:
                rows, bad = in_one_set_of_types(table, form)
            except Refused as error:
                faults |= {position: [refusal(error)] for position in together}
                continue
            kept = np.ones(len(owners), np.bool_)
            for row, fault in bad:
                faults.setdefault(int(owners[row]), []).append(fault)
                kept[row] = False
            pieces.append((rows.filter(pa.array(kept)) if bad else rows, owners[kept] if bad else owners))
        return to_rows(pieces, records, form, faults)

    return read


def encode_rows(table: pa.Table) -> bytes:
    """Return the value of one record with all rows of a table."""
    sink = pa.BufferOutputStream()
    whole = table.combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole, max_chunksize=max(1, whole.num_rows))
    value: bytes = sink.getvalue().to_pybytes()
    return value
