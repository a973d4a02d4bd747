"""What producers can put into a topic that no client should unpack: the source goes on, and tells."""

import json
import struct
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import crc32c
import pytest
from kafka import KafkaProducer
from kafka.record import default_records

from undertow.adapters import kafka_guard
from undertow.adapters.kafka_admin import ensure_topic, require_topic_codec
from undertow.adapters.kafka_batches import make_plain
from undertow.adapters.kafka_source import KafkaSource
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Delivery

CONTRACT = InputContract(
    series=(IdColumn(name="id", type="integer"),), past=(Column(name="x"),), min_length=1, max_length=9
)
decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)
CODECS = ("gzip", "snappy", "lz4", "zstd")
pytestmark = pytest.mark.kafka


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


@pytest.fixture
def settings(kafka_bootstrap: str, topic_name: str) -> KafkaSettings:
    kafka = KafkaSettings(
        bootstrap=kafka_bootstrap, topic=topic_name, group=f"group-{topic_name}", max_unpacked_bytes=1 << 20
    )
    ensure_topic(kafka, topic_name, config={"max.message.bytes": str(8 << 20)})
    return kafka


def send(settings: KafkaSettings, values: list[bytes], codec: str | None = None, headers=()) -> None:
    """Send all in one batch."""
    producer = KafkaProducer(
        bootstrap_servers=settings.bootstrap,
        compression_type=codec,
        linger_ms=200,
        batch_size=1 << 30,
        max_request_size=1 << 30,
        enable_idempotence=False,
    )
    for sent in [producer.send(settings.topic, value=v, partition=0, headers=list(headers)) for v in values]:
        sent.get(timeout=30)
    producer.close()


@pytest.fixture
def source(settings: KafkaSettings) -> Iterator[KafkaSource]:
    opened = KafkaSource(settings, decode)
    opened.assign({Partition(settings.topic, 0): 0})
    yield opened
    opened.close()


def read_to(source: KafkaSource, end: int) -> list[Delivery]:
    """Poll as the loop does until this position; what is unavailable is tried again, ten times at most."""
    found, complaints, position = [], 0, 0
    while position < end:
        try:
            delivery = source.poll(5.0)
        except Unavailable:
            complaints += 1
            assert complaints < 10
            continue
        if delivery is not None:
            found.append(delivery)
            position = max(delivery.receipt.values())
    return found


def ids(found: list[Delivery]) -> list[int]:
    return [number for delivery in found for number in delivery.decoded.windows.series["id"].tolist()]


@pytest.mark.parametrize("codec", CODECS)
def test_records_of_each_codec_are_read_beside_those_of_none(settings, source, codec):
    send(settings, [window(n) for n in range(3)])
    send(settings, [window(n) for n in range(3, 23)], codec)
    send(settings, [window(n) for n in range(23, 26)])
    assert ids(read_to(source, 26)) == list(range(26))


@pytest.mark.parametrize(("codec", "package"), [("snappy", "snappy"), ("lz4", "lz4.frame"), ("zstd", "zstandard")])
def test_a_codec_that_is_not_installed_is_refused_by_name(settings, source, codec, package, monkeypatch):
    send(settings, [window(n) for n in range(20)], codec)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Refused, match=rf"pip install 'kafka-python\[{codec}\]'"):
        read_to(source, 1)


def test_a_codec_of_the_topic_that_is_not_installed_is_refused_at_start(kafka_bootstrap, topic_name, monkeypatch):
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name)
    ensure_topic(settings, topic_name, config={"compression.type": "snappy"})
    require_topic_codec(settings)
    monkeypatch.setitem(sys.modules, "snappy", None)
    with pytest.raises(Refused, match=rf'the topic "{topic_name}" \(its compression.type\) is compressed with snappy'):
        require_topic_codec(settings)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_passed_over_told_and_costs_no_memory(settings, source, codec):
    send(settings, [window(0)])
    send(settings, [bytes(32 << 20)], codec)
    send(settings, [window(1)])
    found = read_to(source, 3)
    assert ids(found) == [0, 1]
    (gap,) = [gap for delivery in found for gap in delivery.gaps]
    assert (gap.reject.record.offset, gap.next, gap.reject.reason) == (1, 2, "bomb")
    assert "kafka.max_unpacked_bytes" in gap.reject.detail


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_its_codec_cannot_unpack_is_passed_over_with_its_bytes(settings, source, codec, monkeypatch):
    send(settings, [window(n) for n in range(20)], codec)
    send(settings, [window(20)])
    monkeypatch.setattr(kafka_guard, "make_plain", lambda data, **rest: make_plain(spoil(data), **rest))
    found = read_to(source, 21)
    assert ids(found) == [20]
    (gap,) = [gap for delivery in found for gap in delivery.gaps]
    assert (gap.reject.record.offset, gap.next, gap.offsets, gap.reject.reason) == (0, 20, 20, "corrupt")
    assert codec in gap.reject.detail
    assert gap.reject.record.value.count(b"spoilt") == 1


def spoil(data: memoryview, place: int = 63, with_bytes: bytes = b"spoilt") -> memoryview:
    """Write over the first batch of the topic as a disk may that also believes its checksum."""
    spoilt = bytearray(data)
    (base, length) = struct.unpack_from(">qi", spoilt)
    if base == 0:
        end = 12 + length
        start = place if place > 0 else end + place
        spoilt[start : start + len(with_bytes)] = with_bytes
        struct.pack_into(">I", spoilt, 17, crc32c.crc32c(bytes(spoilt[21:end])))
    return memoryview(spoilt)


def test_a_checksum_that_stays_wrong_is_passed_over_and_one_that_was_wrong_once_is_not(settings, source, monkeypatch):
    send(settings, [window(0)])
    send(settings, [window(1)])
    times = [2]

    def turn_a_bit(data, **rest):
        turned = bytearray(data)
        (base,) = struct.unpack_from(">q", turned)
        if base == 0 or times[0]:
            turned[70] ^= 1
            times[0] = max(0, times[0] - 1) if base else times[0]
        return make_plain(memoryview(turned), **rest)

    monkeypatch.setattr(kafka_guard, "make_plain", turn_a_bit)
    found = read_to(source, 2)
    assert ids(found) == [1]
    (gap,) = [gap for delivery in found for gap in delivery.gaps]
    assert (gap.reject.record.offset, gap.next, gap.reject.reason) == (0, 1, "corrupt")
    assert "checksum" in gap.reject.detail


def test_what_stays_unreadable_is_complained_of_once_however_often_it_is_fetched(settings, source, monkeypatch):
    send(settings, [window(0)])
    send(settings, [window(1)])
    monkeypatch.setattr(kafka_guard, "make_plain", lambda data, **rest: make_plain(turned(data), **rest))
    complaints, position = [], 0
    while position < 2:
        try:
            delivery = source.poll(5.0)
        except Unavailable as error:
            complaints.append(str(error))
        else:
            position = max(delivery.receipt.values()) if delivery is not None else position
    (complaint,) = complaints
    assert f"at offset 0 of {settings.topic}-0" in complaint


def turned(data: memoryview) -> memoryview:
    """Turn a bit of the first batch of the topic."""
    bits = bytearray(data)
    bits[70] ^= struct.unpack_from(">q", bits)[0] == 0
    return memoryview(bits)


def test_records_that_cannot_be_told_apart_are_passed_over_and_those_before_them_are_read(
    settings, source, monkeypatch
):
    send(settings, [window(n) for n in range(20)])
    send(settings, [window(20)])
    monkeypatch.setattr(kafka_guard, "make_plain", lambda data, **rest: make_plain(spoil(data, -80, bytes(80)), **rest))
    found = read_to(source, 21)
    gaps = [gap for delivery in found for gap in delivery.gaps]
    refused = [one.record.offset for delivery in found for one in delivery.decoded.rejects]
    passed = [offset for gap in gaps for offset in range(gap.reject.record.offset, gap.next)]
    assert sorted([*ids(found), *refused, *passed]) == list(range(21))
    assert ids(found)[-1] == 20
    assert len(ids(found)) >= 18


class NotUtf8(str):
    """A header name that turns into bytes which are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"h\xff"


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_header_whose_name_is_no_utf8_makes_its_record_a_dead_letter(settings, source, codec):
    send(settings, [window(0)])
    send(settings, [window(1)] * 9, codec, headers=[(NotUtf8("h"), b"v"), ("other", b"w")])
    send(settings, [window(2)])
    found = read_to(source, 11)
    assert ids(found) == [0, 2]
    rejects = [reject for delivery in found for reject in delivery.decoded.rejects]
    assert [(one.record.offset, one.reason) for one in rejects] == [(offset, "header") for offset in range(1, 10)]
    assert rejects[0].record.value == window(1)
    assert rejects[0].record.headers == (("h\\xff", b"v"), ("other", b"w"))
    assert not [gap for delivery in found for gap in delivery.gaps]


@pytest.mark.parametrize("error", [AssertionError("odd"), struct.error("odd"), NotImplementedError("odd")])
def test_whatever_kafka_python_raises_of_a_record_is_tried_again_and_does_not_loop(
    settings, source, error, monkeypatch
):
    send(settings, [window(0), window(1)])
    honest, raised = default_records.DefaultRecordBatch._read_msg, []

    def read_or_not(batch):
        if len(raised) < 2:
            raised.append(error)
            raise error
        return honest(batch)

    monkeypatch.setattr(default_records.DefaultRecordBatch, "_read_msg", read_or_not)
    assert ids(read_to(source, 2)) == [0, 1]
