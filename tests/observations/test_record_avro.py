"""Records in Avro, by our schema and by a producer's: read as those in JSON, or refused with the reason."""

import io
import json
from dataclasses import replace

import pyarrow as pa
import pytest
from fastavro import schemaless_writer

from tests.observations.conftest import TIME, made, plainly
from tests.observations.streaming import plan_of, text
from tests.observations.test_record_formats import (
    CONTRACT,
    KINDS,
    NOW_US,
    SPEC,
    _Batches,
    as_value,
    opened,
    records_of,
    row,
)
from undertow.observations.record_avro import avro_row_encoder
from undertow.observations.streamed import StreamedSeries
from undertow.observations.streamed_records import read_form
from undertow.schemas.avro_schemas import read_row_schema


def written(schema, *rows):
    """Records as a producer writes them who has a schema of its own, in Confluent's format."""
    file = io.BytesIO(b"")
    for one in rows:
        file.write(b"\0\0\0\0\7")
        schemaless_writer(file, schema, one)
    return file.getvalue()


def schema_of(time, *more):
    """A producer's: an observation a record, with a field that no column has."""
    fields = [
        {"name": "site", "type": "string"},
        {"name": "unit", "type": "int"},
        {"name": "event_timestamp", "type": time},
        {"name": "flow", "type": ["null", "float"]},
        {"name": "mode", "type": {"type": "enum", "name": "modes", "symbols": ["x", "y", "z"]}},
        {"name": "size", "type": "double"},
        {"name": "other", "type": "bytes"},
        *more,
    ]
    return {"type": "record", "name": "reading", "fields": fields}


MILLIS = schema_of({"type": "long", "logicalType": "timestamp-millis"})


def test_a_producer_may_write_avro_by_a_schema_of_its_own_times_in_its_unit_too():
    spec = replace(SPEC, created="")
    sent = {"site": "a", "unit": 7, "flow": 0.5, "mode": "x", "size": 2.0, "other": b"?"}
    times = [NOW_US // 1_000 + 1_000 * second for second in range(3)]
    plain = {**MILLIS, "fields": [{**one, "type": "long"} if one["name"] == TIME else one for one in MILLIS["fields"]]}
    values = [written(plain, {**sent, TIME: time}) for time in times]
    decoded = opened("avro-confluent", spec=spec, wrote=json.dumps(MILLIS)).decode(records_of(*values))
    rows = [{**row(second), "flow": 0.5} for second in range(3)]
    frame = plainly(made(pa.Table.from_pylist(rows, schema=KINDS), CONTRACT, spec))
    assert decoded.rejects == ()
    assert sorted(map(text, plainly(_Batches(decoded.windows)))) == sorted(map(text, frame)) != []


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"\0\0\0\0\7\1", "not-avro", "expected observations in Avro, found bytes that are none"),
        (b"\0\0\0\0\7\0", "empty", "expected at least one observation, found an empty array"),
        (b"\0\0\0\0\7\0\0", "not-avro", "expected observations in Avro, found it and 1 bytes more"),
        (b"\1", "not-avro", "expected a zero byte, the schema's id in four bytes, and Avro, found 1 bytes"),
        (as_value("avro-confluent", [row(flow=None, mode="z")]), "category", "mode: expected a category"),
        (as_value("avro-confluent", [row(flow=float("inf"))]), "number", "flow: expected a number within float32"),
        (as_value("avro-confluent", [row(0.3)]), "off-grid", "expected a time within windows.tolerance"),
    ],
)
def test_what_is_no_observation_in_avro_is_a_reject_that_says_why_and_its_neighbours_are_taken(value, reason, detail):
    neighbour = as_value("avro-confluent", [row(1), row(2)])
    decoded = opened("avro-confluent").decode(records_of(value, neighbour))
    (reject,) = decoded.rejects
    assert (reject.record.offset, reject.reason) == (0, reason)
    assert detail in reject.detail
    assert len(decoded.windows) > 0


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("string", "expected an Avro schema of a record, or of an array of records"),
        ({"type": "array", "items": "long"}, "expected an Avro schema of a record, or of an array of records"),
        (schema_of({"type": "int", "logicalType": "date"}), "event_timestamp: expected timestamp-millis, -micros"),
        ({"type": "array", "items": {"type": "record", "name": "n", "fields": []}}, "at least one byte each"),
    ],
)
def test_a_schema_by_which_no_observation_can_be_read_is_refused_with_the_reason(schema, message):
    with pytest.raises(ValueError, match=message):
        read_row_schema(json.dumps(schema), TIME)


def test_times_without_a_zone_are_texts_in_avro():
    spec = replace(SPEC, zone="Europe/Berlin")
    own = read_form(StreamedSeries(plan_of(spec, CONTRACT)))
    rows = [row(event_timestamp=f"2026-09-21T16:13:2{second}") for second in range(3)]
    decoded = opened("avro", spec=spec).decode(records_of(avro_row_encoder(own)(rows)))
    assert decoded.rejects == ()
    assert len(decoded.windows) > 0
