"""The JSON wire format: one record is one window.

In: records, or a batch of windows. Out: `Decoded`, with rejects located exactly, or the bytes of records. Knows neither
Kafka nor models. Its JSON Schema is `window.v1.schema.json`.
"""

import json
from collections.abc import Sequence
from functools import partial

import orjson

from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.documents import decode_documents, to_documents
from undertow.schemas.lookalikes import looks_like
from undertow.schemas.records import Record
from undertow.schemas.times import format_times
from undertow.schemas.window_faults import Document, WindowFault, find_faults
from undertow.schemas.windows import WindowBatch


def decode_json(records: Sequence[Record], contract: InputContract, *, max_record_bytes: int) -> Decoded:
    """Decode records, one window each. Never raises, whatever they hold."""
    parse = partial(_parse, contract=contract)
    return decode_documents(records, contract, parse, max_record_bytes=max_record_bytes)


def encode_json(windows: WindowBatch) -> list[bytes]:
    """Return one record's value for each window. `decode_json` gives back the same numbers, bit for bit."""
    return [orjson.dumps(document) for document in to_documents(windows, format_times(windows.end_us))]


def _parse(value: bytes, contract: InputContract) -> Document | WindowFault:
    """Return the object in a record, or its fault."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        why = looks_like(value, "json") or f": {error}"
        return _sharpen(value, contract) or ("not-json", f"expected a JSON object, found text that is none{why}")
    if not isinstance(document, dict):
        twice = isinstance(document, str) and document.lstrip().startswith("{")
        also = ": it looks like JSON that was encoded twice" if twice else ""
        return "not-json", f"expected a JSON object, found a {type(document).__name__}{also}"
    return document


def _sharpen(value: bytes, contract: InputContract) -> WindowFault | None:
    """Find the field at fault if the text is JSON except for NaN, Infinity or a lone surrogate, which Python writes."""
    try:
        document = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    return next(find_faults(document, contract), None) if isinstance(document, dict) else None
