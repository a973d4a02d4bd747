"""A record of another format, or wrapped in an envelope, is refused with what it looks like and what to set."""

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from undertow.schemas.arrow_faults import schema_fault

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from formats import CONTRACT, FORMATS, HEADER, SCHEMA_ID, documents

BY_NAME = {form.name: form for form in FORMATS}
JSON = json.dumps(documents()[0]).encode()


def said(reader: str, value: bytes) -> str:
    (reject,) = BY_NAME[reader].read([value]).rejects
    return reject.detail


@pytest.mark.parametrize(
    ("reader", "value", "words"),
    [
        ("json", HEADER + JSON, f"JSON behind Confluent's header (a zero byte, schema {SCHEMA_ID}): the producer's"),
        ("json", BY_NAME["avro-confluent"].write(documents()[0]), "kafka.format = avro-confluent"),
        ("json", BY_NAME["arrow"].write(documents()[0]), "kafka.format = arrow"),
        ("json", b"\xef\xbb\xbf" + JSON, "text behind a byte order mark: write UTF-8 without one"),
        ("json", gzip.compress(JSON), "gzip: let Kafka compress instead"),
        ("json", json.dumps(JSON.decode()).encode(), "found a str: it looks like JSON that was encoded twice"),
        ("json", b"PAR1" + bytes(20), "undertow produce"),
        ("avro", BY_NAME["avro-confluent"].write(documents()[0]), "kafka.format = avro-confluent"),
        ("avro", JSON, "kafka.format = json"),
        ("avro", b"Obj\x01" + bytes(20), "an Avro file with its own header"),
        ("avro-confluent", JSON, "kafka.format = json"),
        ("avro-confluent", BY_NAME["arrow"].write(documents()[0]), "kafka.format = arrow"),
        ("arrow", JSON, "kafka.format = json"),
        ("arrow", HEADER + JSON, "kafka.format = json takes JSON alone"),
        ("arrow", b"ARROW1\0\0" + bytes(20), "an Arrow file: write a stream instead"),
    ],
)
def test_bytes_of_another_format_are_recognised(reader, value, words):
    assert words in said(reader, value)


@pytest.mark.parametrize(
    ("reader", "value"), [("json", JSON[:-1]), ("arrow", b"\xff\xff\xff\xff\0"), ("json", b"\0\1")]
)
def test_what_is_merely_broken_looks_like_nothing(reader, value):
    assert "looks like" not in said(reader, value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"schema": {}, "payload": documents()[0]},
            "Kafka Connect's envelope, with the window in `payload`: set value",
        ),
        (
            {"before": None, "after": documents()[0], "op": "c"},
            "a change event of Debezium, with the window in `after`",
        ),
        ({"specversion": "1.0", "data": documents()[0]}, "a structured CloudEvent, with the window in `data`"),
        ({"message": documents()[0], "id": 3}, "found nothing; there is one in `message`: send that alone"),
    ],
)
def test_a_window_in_an_envelope_is_refused_with_the_name_of_what_holds_it(document, words):
    detail = said("json", json.dumps(document).encode())
    assert detail.startswith("series: expected an object with wearer, limb, found nothing; ")
    assert words in detail


def renamed(path: str, to: str) -> dict:
    """A window one of whose names is another."""
    document = documents()[0]
    *parts, name = path.split(".")
    holder = document[parts[0]] if parts else document
    holder[to] = holder.pop(name)
    return document


MISSPELT = [
    ("series", "serie"),
    ("series.wearer", "wearrer"),
    ("series.wearer", "Wearer"),
    ("end", "event_timestamp"),
    ("end", "Ends"),
    ("past", "paste"),
    ("past.ax", "aX"),
    ("future", "futures"),
    ("future.holiday", "holidays"),
    ("static", "statics"),
    ("static.weight", "wieght"),
]


@pytest.mark.parametrize(("path", "found"), MISSPELT)
def test_a_name_that_is_nearly_right_is_told_in_records_and_in_files(path, found):
    document, name = renamed(path, found), path.rpartition(".")[2]
    for detail in (
        said("json", json.dumps(document).encode()),
        schema_fault(pa.Table.from_pylist([document]).schema, CONTRACT)[1],
    ):
        assert detail.startswith(f"{path}")
        assert detail.endswith(f'found nothing; there is "{found}": is {name} meant?')


def test_no_name_is_told_that_is_another_column_or_far_from_it_or_very_long():
    document = documents()[0]
    document["past"] = {"mode": document["past"]["mode"], "pressure": [], "ax" * 60: []}
    assert said("json", json.dumps(document).encode()) == "past.ax: expected a list, found nothing"


def test_a_name_with_quotes_or_line_breaks_stays_in_its_line():
    assert said("json", json.dumps(renamed("series.wearer", 'wearer"\n')).encode()).endswith(
        r'there is "wearer\"\n": is wearer meant?'
    )
