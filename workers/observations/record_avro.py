"""Observations in Avro: a record is an observation, or an array of them, with the names of columns as fields.

In: records; without a registry, those written with the schema that follows from the columns: an array. Out:
`RecordRows`, and the bytes of records. A field that is missing is a hole, as in JSON. Knows no Kafka and no registry.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastavro import schemaless_writer

from undertow.observations.read import TableForm
from undertow.observations.record_documents import document_reader
from undertow.observations.record_rows import ReadRows, RowFault
from undertow.schemas.avro_codec import HEADER, SchemaOf, in_microseconds, read_confluent, read_value
from undertow.schemas.avro_schemas import AvroSchema, read_row_schema

_TIME = {"type": "long", "logicalType": "timestamp-micros"}


def row_schema_text(form: TableForm) -> str:
    """Return the schema with which observations of these columns are written."""
    fields: dict[str, Any] = {one.name: "string" if one.type == "string" else "long" for one in form.ids}
    fields[form.time] = [_TIME, "string"] if form.zone else _TIME  # a time without a zone is a text, as in JSON
    if form.created:
        fields.setdefault(form.created, ["null", "long", "double", "string"])
    for column in form.columns:
        fields[column.name] = ["null", "double" if column.is_real else "string"]
    row = {
        "type": "record",
        "name": "observation",
        "namespace": "undertow",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    return json.dumps({"type": "array", "items": row})


def avro_reader(form: TableForm, *, some_of: Sequence[str], max_record_bytes: int) -> ReadRows:
    """Return the function that reads records in Avro, written with `row_schema_text`."""
    schema = read_row_schema(row_schema_text(form), form.time)
    parse = partial(_rows, schema=schema, reader="avro", time=form.time)
    return document_reader(form, parse, some_of=some_of, max_record_bytes=max_record_bytes)


def confluent_reader(
    form: TableForm, *, some_of: Sequence[str], max_record_bytes: int, schema_of: SchemaOf
) -> ReadRows:
    """Return the function that reads records in Confluent's format; `schema_of` gives what `read_row_schema` does."""

    def parse(value: bytes) -> list[Any] | RowFault:
        return read_confluent(value, schema_of, partial(_rows, time=form.time))

    return document_reader(form, parse, some_of=some_of, max_record_bytes=max_record_bytes)


def avro_row_encoder(
    form: TableForm, *, schema_id: int | None = None
) -> Callable[[Sequence[Mapping[str, Any]]], bytes]:
    """Return the function that makes one record of observations; with an id, in Confluent's format."""
    schema = read_row_schema(row_schema_text(form), form.time).parsed
    names = [one["name"] for one in json.loads(row_schema_text(form))["items"]["fields"]]
    header = b"" if schema_id is None else HEADER.pack(0, schema_id)

    def encode(rows: Sequence[Mapping[str, Any]]) -> bytes:
        file = io.BytesIO()
        file.write(header)
        schemaless_writer(file, schema, [{name: _without_nan(row.get(name)) for name in names} for row in rows])
        return file.getvalue()

    return encode


def _rows(value: bytes, schema: AvroSchema, reader: str, time: str) -> list[Any] | RowFault:
    found = read_value(value, schema, reader, what="observations")
    if isinstance(found, tuple):
        return found
    rows: list[Any] = found if isinstance(found, list) else [found]
    for row in rows:
        if isinstance(row, dict) and type(at := row.get(time)) is int:
            row[time] = in_microseconds(at, schema.ticks_per_s)
    return rows or ("empty", "expected at least one observation, found an empty array")


def _without_nan(value: Any) -> Any:
    return None if value != value else value  # noqa: PLR0124  # only NaN differs from itself
