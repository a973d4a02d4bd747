"""The wire formats as the contract tests see them: how each writes any document, and how it is read."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from fastavro import schemaless_writer

from undertow.schemas.arrow_codec import decode_arrow, encode_arrow
from undertow.schemas.avro_codec import decode_avro, decode_confluent, encode_avro
from undertow.schemas.avro_schemas import window_avro_schema
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import window_schema

CONTRACT = InputContract(
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="limb", type="integer")),
    past=(Column(name="ax"), Column(name="mode", categories=("1", "walk", "rest"))),
    future=(Column(name="holiday"), Column(name="shift", categories=("day", "night"), accepts_unknown=True)),
    static=(Column(name="weight"), Column(name="device", categories=("watch",))),
    min_length=2,
    max_length=4,
    horizon=2,
)
LIMIT = 4096
SCHEMA_ID = 70_000


def documents() -> list[dict]:
    """Three valid windows, in a form that every format can write."""
    return [
        {
            "series": {"wearer": f"s0{n}", "limb": n},
            "end": 1_767_225_602_560_000 + n,
            "past": {"ax": [0.1 * n, -1.0, 2.25][: n + 1], "mode": ["walk", "1", "rest"][: n + 1]},
            "future": {"holiday": [0.0, 1.0], "shift": ["day", "dusk"]},
            "static": {"weight": 71.5, "device": "watch"},
        }
        for n in (1, 2, 2)
    ]


@dataclass(frozen=True, kw_only=True)
class Format:
    name: str
    write: Callable[[dict], bytes]
    """One document, right or wrong, as a record's value."""
    encode: Callable[[WindowBatch], Sequence[bytes]]
    decode: Callable[..., Decoded]

    def read(self, values: Sequence[bytes | None], contract: InputContract = CONTRACT, limit: int = LIMIT) -> Decoded:
        return self.decode(records(values), contract, max_record_bytes=limit)

    def __str__(self) -> str:
        return self.name


def records(values: Sequence[bytes | None]) -> list[Record]:
    place = Partition("t", 0)
    return [Record(partition=place, offset=i, appended_us=0, value=value) for i, value in enumerate(values)]


def write_avro(document: dict, header: bytes = b"") -> bytes:
    file = io.BytesIO()
    schemaless_writer(file, window_avro_schema().parsed, document)
    return header + file.getvalue()


def write_arrow(document: dict) -> bytes:
    """One row; parts that the document lacks are no columns."""
    ours = window_schema(CONTRACT)
    fields = [
        pa.field(field.name, pa.struct([inner for inner in field.type if inner.name in (document[field.name] or {})]))
        if field.name != "end" and document[field.name] is not None
        else field
        for field in ours
        if field.name in document
    ]
    arrays = [
        pa.array([document["end"]], pa.int64()).cast(field.type)
        if field.name == "end"
        else pa.array([document[field.name]], field.type)
        for field in fields
    ]
    return stream_of(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))


def stream_of(*batches: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def schema_of(schema_id: int):
    return window_avro_schema() if schema_id == SCHEMA_ID else "the registry has no such schema"


HEADER = b"\0" + SCHEMA_ID.to_bytes(4, "big")
FORMATS = (
    Format(name="json", write=lambda document: json.dumps(document).encode(), encode=encode_json, decode=decode_json),
    Format(name="avro", write=write_avro, encode=encode_avro, decode=decode_avro),
    Format(
        name="avro-confluent",
        write=partial(write_avro, header=HEADER),
        encode=partial(encode_avro, schema_id=SCHEMA_ID),
        decode=partial(decode_confluent, schema_of=schema_of),
    ),
    Format(
        name="arrow",
        write=write_arrow,
        encode=lambda windows: [encode_arrow(windows, CONTRACT)],
        decode=decode_arrow,
    ),
)
