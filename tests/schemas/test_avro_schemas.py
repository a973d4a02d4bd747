"""Avro schemas of others: which are taken, how their times are read, and which could claim any amount of memory."""

import io
import json
import sys
from functools import partial
from pathlib import Path

import pytest
from fastavro import schemaless_writer

from undertow.schemas.avro_codec import decode_confluent
from undertow.schemas.avro_schemas import read_schema, window_schema_text
from undertow.schemas.contract import Column, IdColumn, InputContract

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from formats import records

CONTRACT = InputContract(
    series=(IdColumn(name="pump", type="string"),), past=(Column(name="flow"),), min_length=1, max_length=4
)


def schema(*, end: object = "long", flow: object = "float", **more: object) -> str:
    def record(name: str, **fields: object) -> dict:
        return {
            "type": "record",
            "name": name,
            "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
        }

    return json.dumps(
        record(
            "Reading",
            series=record("Ids", pump="string"),
            end=end,
            past=record("Past", flow={"type": "array", "items": flow}),
            **more,
        )
    )


def decode(text: str, end: object, flow: object = (1.5, -2.0), **more: object):
    known = read_schema(text)
    file = io.BytesIO()
    document = {"series": {"pump": "p1"}, "end": end, "past": {"flow": list(flow)}, **more}
    schemaless_writer(file, known.parsed, document)
    value = b"\0\0\0\0\7" + file.getvalue()
    read = partial(decode_confluent, contract=CONTRACT, max_record_bytes=1000, schema_of={7: known}.get)
    return read(records([value]))


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("long", 1_500_000),
        ({"type": "long", "logicalType": "timestamp-millis"}, 1_500),
        ({"type": "long", "logicalType": "timestamp-micros"}, 1_500_000),
        ({"type": "long", "logicalType": "timestamp-nanos"}, 1_500_000_000),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], 1_500),
        ("string", "1970-01-01T00:00:01.5Z"),
    ],
)
def test_a_schema_of_named_columns_is_read_whatever_the_unit_of_its_times(kind, end):
    windows = decode(schema(end=kind), end).windows
    assert windows.end_us.tolist() == [1_500_000]
    assert windows.past["flow"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("kind", "end", "found"),
    [
        ("timestamp-nanos", 1_500_000_001, "1500000001 / 1000000000 s"),
        ("timestamp-millis", 2**62, str(2**62 * 1000)),
    ],
)
def test_a_time_that_is_none_to_the_microsecond_is_refused(kind, end, found):
    (reject,) = decode(schema(end={"type": "long", "logicalType": kind}), end).rejects
    assert reject.reason == "end"
    assert found in reject.detail


def test_bytes_where_numbers_belong_are_quoted_by_their_size():
    (reject,) = decode(schema(flow="bytes"), 5, [b"abc"]).rejects
    assert (reject.reason, reject.detail) == (
        "number",
        "past.flow[0]: expected a finite number within float32, found 3 bytes",
    )


def test_columns_beyond_the_contract_may_be_of_any_type():
    fixed = {"type": "fixed", "name": "F", "size": 3}
    sides = {"type": "enum", "name": "Side", "symbols": ["left"]}
    more = {"note": ["null", "string"], "mark": fixed, "side": sides, "days": {"type": "map", "values": "null"}}
    decoded = decode(schema(**more), 5, note=None, mark=b"abc", side="left", days={"a": None})
    assert len(decoded.windows) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('"long"', "of a record"),
        ("[]", "of a record"),
        ('{"type": "record"}', "cannot be read"),
        (schema(note="Nowhere"), "cannot be read"),
        (schema(flow="null"), "at least one byte"),
        (schema(note={"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}), "at least one byte"),
        (schema(note={"type": "array", "items": {"type": "record", "name": "E", "fields": []}}), "at least one byte"),
        (schema(note=["null", "Reading"]), "does not contain itself"),
    ],
)
def test_a_schema_that_bounds_nothing_or_is_none_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        read_schema(text)


@pytest.mark.parametrize("value", [b"\0\0\0\0", b"\1\0\0\0\7abc", b'{"series": 1}'])
def test_what_lacks_the_header_is_refused(value):
    (reject,) = decode_confluent(records([value]), CONTRACT, max_record_bytes=99, schema_of={}.get).rejects
    assert reject.reason == "not-avro"


def test_a_schema_that_the_registry_lacks_is_the_reason():
    def nobody(schema_id: int) -> str:
        return f"unknown here ({schema_id})"

    (reject,) = decode_confluent(records([b"\0\0\0\1\0abc"]), CONTRACT, max_record_bytes=99, schema_of=nobody).rejects
    assert (reject.reason, reject.detail) == ("schema", "schema 256: unknown here (256)")


def test_our_own_schema_is_fit_for_bytes_from_anywhere():
    assert read_schema(window_schema_text()).ticks_per_s == 1_000_000
