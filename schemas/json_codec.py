"""The JSON form of the window record: one record is one window.

In: records, or a batch of windows. Out: `Decoded` with rejects located exactly, or the bytes of records. Knows neither
Kafka nor models. Its JSON Schema is `window.v1.schema.json`.

The fast way (`schemas.json_columns`) takes a whole batch and checks it by columns; `schemas.json_faults` looks at
single records only where something is off, so both must agree on what is valid.
"""

import json
from collections.abc import Sequence

import numpy as np
import orjson

from schemas.contract import InputContract
from schemas.decoded import Decoded
from schemas.json_columns import SUSPECT, Columns
from schemas.json_faults import Document, Fault, find_faults
from schemas.records import Record, Reject
from schemas.times import format_times
from schemas.windows import WindowBatch


def decode_json(records: Sequence[Record], contract: InputContract, *, max_record_bytes: int) -> Decoded:
    """Decode records, one window each. Never raises for what they hold."""
    faults: dict[int, Fault] = {}
    documents: dict[int, Document] = {}
    columns = Columns(contract)
    for position, record in enumerate(records):
        document = _parse(record.value, contract, max_record_bytes)
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
        columns = Columns(contract)
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


def encode_json(windows: WindowBatch) -> list[bytes]:
    """Return one record's value for each window. `decode_json` gives back the same numbers, bit for bit."""
    starts = windows.starts.tolist()
    past = {name: column.tolist() for name, column in windows.past.items()}
    future = {name: column.tolist() for name, column in windows.future.items()}
    static = {name: column.tolist() for name, column in windows.static.items()}
    series = {name: column.tolist() for name, column in windows.series.items()}
    values = []
    for row, end in enumerate(format_times(windows.end_us)):
        document: Document = {"series": {name: column[row] for name, column in series.items()}, "end": end}
        document["past"] = {name: column[starts[row] : starts[row + 1]] for name, column in past.items()}
        if future:
            document["future"] = {name: column[row] for name, column in future.items()}
        if static:
            document["static"] = {name: column[row] for name, column in static.items()}
        values.append(orjson.dumps(document))
    return values


def _parse(value: bytes | None, contract: InputContract, max_record_bytes: int) -> Document | Fault:
    """Return the object that a record holds, or what is wrong with it."""
    if not value:
        return "empty", "expected a JSON object, found no value"
    if len(value) > max_record_bytes:
        return "too-large", f"expected at most {max_record_bytes} bytes (kafka.max_record_bytes), found {len(value)}"
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _sharpen(value, contract) or ("not-json", f"expected a JSON object, found text that is none: {error}")
    if not isinstance(document, dict):
        return "not-json", f"expected a JSON object, found a {type(document).__name__}"
    return document


def _sharpen(value: bytes, contract: InputContract) -> Fault | None:
    """Find the guilty field where the text is JSON but for NaN, Infinity or a lone surrogate, as Python writes them."""
    try:
        document = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    return next(find_faults(document, contract), None) if isinstance(document, dict) else None
