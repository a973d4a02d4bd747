"""Decode records of one window each: what JSON and Avro have in common.

In: records, and a function that parses a value. Out: `Decoded`, with rejects located exactly. Knows no wire format.

The fast check (`undertow.schemas.json_columns`) takes a whole batch, column by column. Only if it finds a fault does
the exact check (`undertow.schemas.window_faults`) take single records. Both must agree on what is valid.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.json_columns import SUSPECT, ColumnBuilder
from undertow.schemas.records import Record, Reject
from undertow.schemas.window_faults import Document, WindowFault, find_faults
from undertow.schemas.windows import WindowBatch

Parse = Callable[[bytes], Document | WindowFault]
"""A function that parses a value to an object, or returns what is wrong. Never raises, whatever the value is."""


def decode_documents(
    records: Sequence[Record], contract: InputContract, parse: Parse, *, max_record_bytes: int
) -> Decoded:
    """Decode records, one window each."""
    faults: dict[int, WindowFault] = {}
    documents: dict[int, Document] = {}
    columns = ColumnBuilder(contract)
    for position, record in enumerate(records):
        value = record.value or b""
        document = size_fault(value, max_record_bytes) or parse(value)
        if isinstance(document, tuple):
            faults[position] = document
            continue
        try:
            columns.add(document)
        except SUSPECT:
            faults[position] = next(find_faults(document, contract))
        else:
            documents[position] = document
    try:
        windows = columns.build()
    except SUSPECT:
        columns = ColumnBuilder(contract)
        for position, document in list(documents.items()):
            fault = next(find_faults(document, contract), None)
            if fault is None:
                columns.add(document)
            else:
                faults[position] = fault
                del documents[position]
        windows = columns.build()
    return Decoded(
        windows=windows,
        record_of=np.fromiter(documents, np.int64, len(documents)),
        rejects=tuple(
            Reject(record=records[position], reason=reason, detail=detail)
            for position, (reason, detail) in sorted(faults.items())
        ),
        ignored_columns=columns.ignored,
    )


def to_documents(windows: WindowBatch, ends: Sequence[object]) -> Iterator[Document]:
    """Yield each window as a document; `ends` are the event times in the format's notation.

    A missing step is NaN in columns of numbers, which JSON writes as null.
    """
    starts = windows.starts.tolist()
    past = {name: column.tolist() for name, column in windows.past.items()}
    future = {name: column.tolist() for name, column in windows.future.items()}
    static = {name: column.tolist() for name, column in windows.static.items()}
    series = {name: column.tolist() for name, column in windows.series.items()}
    for row, end in enumerate(ends):
        document: Document = {"series": {name: column[row] for name, column in series.items()}, "end": end}
        document["past"] = {name: column[starts[row] : starts[row + 1]] for name, column in past.items()}
        if future:
            document["future"] = {name: column[row] for name, column in future.items()}
        if static:
            document["static"] = {name: column[row] for name, column in static.items()}
        yield document


def size_fault(value: bytes, max_record_bytes: int) -> WindowFault | None:
    """Return the fault of a value that is missing or too large; None otherwise."""
    if not value:
        return "empty", "expected a window, found no value"
    if len(value) > max_record_bytes:
        return "too-large", f"expected at most {max_record_bytes} bytes (kafka.max_record_bytes), found {len(value)}"
    return None
