"""The Avro wire formats: one record is one window, bare or preceded by its schema's id (Confluent's format).

In: records, or a batch of windows. Out: `Decoded`, with rejects located exactly, or the bytes of records. Knows neither
Kafka nor how a schema is found by its id.
"""

import io
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from fastavro import schemaless_reader, schemaless_writer

from undertow.schemas.avro_schemas import AvroSchema, window_avro_schema
from undertow.schemas.avro_times import US_PER_S
from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.documents import decode_documents, to_documents
from undertow.schemas.lookalikes import looks_like
from undertow.schemas.records import Record
from undertow.schemas.window_faults import Document, WindowFault
from undertow.schemas.windows import WindowBatch

T = TypeVar("T")
ReadValue = Callable[[bytes, AvroSchema, str], T | WindowFault]
"""Reads a value written with a schema, for a reader of a name."""
SchemaOf = Callable[[int], AvroSchema | str]
"""A function that returns the schema of an id, or why it cannot be read. May raise `Unavailable`."""

HEADER = struct.Struct(">bI")
"""Confluent's: a zero, and the schema's id."""
_BROKEN = (EOFError, IndexError, ValueError, OverflowError)  # what fastavro raises for bytes that are not Avro


def decode_avro(records: Sequence[Record], contract: InputContract, *, max_record_bytes: int) -> Decoded:
    """Decode records written with `window.v1.avsc`. Never raises, whatever they hold."""
    parse = partial(_read, schema=window_avro_schema(), reader="avro")
    return decode_documents(records, contract, parse, max_record_bytes=max_record_bytes)


def decode_confluent(
    records: Sequence[Record], contract: InputContract, *, max_record_bytes: int, schema_of: SchemaOf
) -> Decoded:
    """Decode records in Confluent's wire format. Raises only what `schema_of` raises, whatever the records hold."""
    parse = partial(read_confluent, schema_of=schema_of, read=_read)
    return decode_documents(records, contract, parse, max_record_bytes=max_record_bytes)


def encode_avro(windows: WindowBatch, *, schema_id: int | None = None) -> list[bytes]:
    """Return one record's value for each window, written with `window.v1.avsc`; with an id, in Confluent's format."""
    header = b"" if schema_id is None else HEADER.pack(0, schema_id)
    values = []
    for document in to_documents(windows, windows.end_us.tolist()):
        document["past"] = {name: _with_nulls(steps) for name, steps in document["past"].items()}
        file = io.BytesIO()
        schemaless_writer(file, window_avro_schema().parsed, document)
        values.append(header + file.getvalue())
    return values


def _with_nulls(steps: list[object]) -> list[object]:
    return [None if step != step else step for step in steps]  # noqa: PLR0124  # only NaN differs from itself


def read_confluent(value: bytes, schema_of: SchemaOf, read: ReadValue[T]) -> T | WindowFault:
    """Return what `read` makes of the bytes behind the header. Raises only what `schema_of` raises."""
    if len(value) < HEADER.size or value[0]:
        found = f"{len(value)} bytes that begin with {value[: HEADER.size].hex()}"
        words = f"expected a zero byte, the schema's id in four bytes, and Avro, found {found}"
        return "not-avro", words + looks_like(value, "avro-confluent")
    _, schema_id = HEADER.unpack_from(value)
    schema = schema_of(schema_id)
    if isinstance(schema, str):
        return "schema", f"schema {schema_id}: {schema}"
    return read(value[HEADER.size :], schema, "avro-confluent")


def read_value(value: bytes, schema: AvroSchema, reader: str, *, what: str) -> Any:
    """Return what a value holds, or a tuple: why it holds nothing. `what` is expected there, in words."""
    file = io.BytesIO(value)
    try:
        found = schemaless_reader(file, schema.parsed, None)
    except _BROKEN as error:
        words = f"expected {what} in Avro, found bytes that are none: {type(error).__name__}: {error}"
        return "not-avro", words + looks_like(value, reader)
    if rest := len(value) - file.tell():
        return "not-avro", f"expected {what} in Avro, found it and {rest} bytes more{looks_like(value, reader)}"
    return found


def _read(value: bytes, schema: AvroSchema, reader: str) -> Document | WindowFault:
    """Return the object in a value; a part that is null was left out by the producer."""
    document = read_value(value, schema, reader, what="a window")
    if isinstance(document, tuple):
        return document
    if type(end := document.get("end")) is int:
        document["end"] = in_microseconds(end, schema.ticks_per_s)
    return {part: held for part, held in document.items() if held is not None}


def in_microseconds(ticks: int, ticks_per_s: int) -> int | str:
    """Return an event time, or a text that shows the value if it is not a whole number of microseconds."""
    whole, rest = divmod(ticks * US_PER_S, ticks_per_s)
    return f"{ticks} / {ticks_per_s} s" if rest else whole
