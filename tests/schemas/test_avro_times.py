"""What is written beside the type of an Avro `end`: read rightly where it is understood, else the schema is refused."""

import io
import json
from functools import partial

import pytest
from fastavro import schemaless_writer

from undertow.schemas.avro_codec import decode_confluent
from undertow.schemas.avro_schemas import read_schema
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.records import Partition, Record

CONTRACT = InputContract(
    series=(IdColumn(name="pump", type="string"),), past=(Column(name="flow"),), min_length=1, max_length=4
)
NOON_S = 1_767_268_800  # 2026-01-01T12:00:00Z
CONNECT, DEBEZIUM = "org.apache.kafka.connect.data.", "io.debezium.time."


def schema(kind: object, **beside: object) -> str:
    """A schema whose `end` is of a type, with what is written beside it on the field."""

    def record(name: str, *fields: dict) -> dict:
        return {"type": "record", "name": name, "fields": list(fields)}

    past = record("Past", {"name": "flow", "type": {"type": "array", "items": "double"}})
    fields = (
        {"name": "series", "type": record("Ids", {"name": "pump", "type": "string"})},
        {"name": "end", "type": kind, **beside},
        {"name": "past", "type": past},
    )
    return json.dumps(record("Reading", *fields))


def decode(text: str, end: object):
    known = read_schema(text)
    file = io.BytesIO()
    schemaless_writer(file, known.parsed, {"series": {"pump": "p"}, "end": end, "past": {"flow": [1.0]}})
    record = Record(partition=Partition("t", 0), offset=0, appended_us=0, value=b"\0\0\0\0\7" + file.getvalue())
    read = partial(decode_confluent, contract=CONTRACT, max_record_bytes=1000, schema_of={7: known}.get)
    return read([record])


def long(**beside: object) -> dict:
    return {"type": "long", **beside}


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (schema("long"), NOON_S * 10**6),
        (schema("long", logicalType="timestamp-millis"), NOON_S * 10**3),
        (schema(["null", "long"], logicalType="timestamp-millis", default=None), NOON_S * 10**3),
        (schema(long(logicalType="timestamp-nanos")), NOON_S * 10**9),
        (schema(long(**{"connect.name": f"{CONNECT}Timestamp", "connect.version": 1})), NOON_S * 10**3),
        (
            schema(["null", long(**{"connect.name": f"{CONNECT}Timestamp", "logicalType": "timestamp-millis"})]),
            NOON_S * 10**3,
        ),
        (schema(long(**{"connect.name": f"{DEBEZIUM}Timestamp"})), NOON_S * 10**3),
        (schema("long", **{"connect.name": f"{DEBEZIUM}MicroTimestamp"}), NOON_S * 10**6),
        (schema(["null", long(**{"connect.name": f"{DEBEZIUM}NanoTimestamp"})]), NOON_S * 10**9),
        (schema({"type": "string", "connect.name": f"{DEBEZIUM}ZonedTimestamp"}), "2026-01-01T14:00:00+02:00"),
        (schema(["null", "string"], **{"connect.name": f"{DEBEZIUM}ZonedTimestamp"}), "2026-01-01T12:00:00.000000000Z"),
        (schema(long(logicalType="timestamp-micros", **{"adjust-to-utc": True})), NOON_S * 10**6),
        (schema(["string", long(logicalType="timestamp-millis")]), "2026-01-01T12:00:00Z"),
    ],
)
def test_an_annotation_that_is_understood_gives_the_unit_wherever_it_is_written(text, end):
    assert decode(text, end).windows.end_us.tolist() == [NOON_S * 10**6]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (schema({"type": "int", "logicalType": "date"}), "found date, a day, which is no point in time"),
        (schema("int", logicalType="date"), "found date, a day"),
        (schema(["null", {"type": "int", "logicalType": "date"}]), "found date, a day"),
        (schema({"type": "int", "connect.name": f"{CONNECT}Date"}), f"found {CONNECT}Date, a day"),
        (schema({"type": "int", "connect.name": f"{DEBEZIUM}Date"}), f"found {DEBEZIUM}Date, a day"),
        (schema(long(logicalType="local-timestamp-millis")), "found local-timestamp-millis, a time without a"),
        (schema("long", logicalType="local-timestamp-nanos"), "found local-timestamp-nanos, a time without a"),
        (schema(long(logicalType="timestamp-micros", **{"adjust-to-utc": False})), "found adjust-to-utc = false"),
        (schema({"type": "int", "logicalType": "time-millis"}), "found time-millis"),
        (schema(long(**{"connect.name": f"{CONNECT}Time"})), f"found {CONNECT}Time"),
        *((schema(long(**{"connect.name": f"{DEBEZIUM}{name}"})), f"found {DEBEZIUM}{name}") for name in
          ("Time", "MicroTime", "NanoTime", "ZonedTime", "ZonedTimestamp", "MicroDuration", "Interval", "Year", "New")),
        (schema(long(logicalType="timestamp-picos")), "found timestamp-picos"),
        (schema(long(logicalType=3)), "found 3"),
        (schema(long(logicalType="timestamp-micros", **{"connect.name": f"{CONNECT}Timestamp"})), "1,000 and 1,000"),
        (schema(["int", long(logicalType="timestamp-millis")]), "1,000 and 1,000,000 ticks a second"),
    ],
)  # fmt: skip
def test_every_other_annotation_refuses_the_schema_by_its_name(text, found):
    with pytest.raises(ValueError, match=r"^end: expected ") as raised:
        read_schema(text)
    assert found in str(raised.value)


def test_records_of_a_schema_that_is_refused_have_it_as_their_reason():
    record = Record(partition=Partition("t", 0), offset=0, appended_us=0, value=b"\0\0\0\0\7abc")
    with pytest.raises(ValueError, match="found date") as raised:
        read_schema(schema({"type": "int", "logicalType": "date"}))
    said = {7: str(raised.value)}
    (reject,) = decode_confluent([record], CONTRACT, max_record_bytes=99, schema_of=said.get).rejects
    assert reject.reason == "schema"
    assert reject.detail.startswith("schema 7: end: expected timestamp-millis")


def test_what_is_written_beside_other_fields_is_nobodys_unit():
    text = json.loads(schema(long(logicalType="timestamp-millis")))
    text["fields"].append({"name": "day", "type": {"type": "int", "logicalType": "date"}})
    assert read_schema(json.dumps(text)).ticks_per_s == 1_000
