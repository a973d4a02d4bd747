"""What only the Kafka source can meet: a broker that is away, a group with members, bad checksums, missing packages."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial

import pytest
from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatch

from tests.group_members import group_member
from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.kafka_source import KafkaSource
from undertow.core.errors import Diverged, Refused, Unavailable
from undertow.devstack.kafka import STOP_S, KafkaServer, await_kafka, start_kafka
from undertow.devstack.processes import Process, free_port, stop
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Delivery

HUSH = "hush-hush"
CONTRACT = InputContract(
    series=(IdColumn(name="id", type="integer"),), past=(Column(name="x"),), min_length=1, max_length=9
)
decode = partial(decode_json, contract=CONTRACT, max_record_bytes=8 << 20)


def window(number: int, padding: str = "") -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}, "pad": padding}).encode()


def send(settings: KafkaSettings, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap, max_request_size=8 << 20)
    for value in values:
        producer.send(settings.topic, value=value, partition=0).get(timeout=20)
    producer.close()


def poll(source: KafkaSource) -> Delivery | None:
    """Poll as the loop does: a broker that is away is tried again."""
    try:
        return source.poll(0.2)
    except (Unavailable, Diverged):
        return None


def ids(source: KafkaSource, count: int) -> list[int]:
    found: list[int] = []
    for _ in range(200):
        if (delivery := poll(source)) is not None:
            found += delivery.decoded.windows.series["id"].tolist()
        if len(found) >= count:
            return found
    raise AssertionError(f"expected {count} windows, found {found}")


def commit_without_waiting(source: KafkaSource, offsets: dict[Partition, int]) -> None:
    """Commit again and again: what the broker answers to one is raised by a later one."""
    for _ in range(100):
        source.commit(offsets, wait=False)
        source.poll(0.05)


def complaint(source: KafkaSource) -> str:
    """Poll until the source complains; return what it says."""
    for _ in range(20):
        try:
            assert source.poll(1.0) is None
        except Unavailable as error:
            return str(error)
    raise AssertionError("nothing was complained of")


@pytest.fixture
def settings(kafka_bootstrap: str, topic_name: str) -> KafkaSettings:
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, group=f"group-{topic_name}")
    ensure_topic(kafka, topic_name, config={"max.message.bytes": str(8 << 20)})
    return kafka


@pytest.fixture
def source(settings: KafkaSettings) -> Iterator[KafkaSource]:
    opened = KafkaSource(settings, decode)
    yield opened
    opened.close()


def test_without_the_native_checksum_it_refuses_to_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(Refused, match=r"pip install 'kafka-python\[crc32c\]'"):
        KafkaSource(KafkaSettings(), decode)


def test_a_broker_that_is_not_there_is_unavailable_and_no_password_is_shown():
    settings = KafkaSettings(
        bootstrap="127.0.0.1:1",
        password=HUSH,
        extra={
            "bootstrap_timeout_ms": 200,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "me",
        },
    )
    with pytest.raises(Unavailable, match=r"127.0.0.1:1 \(kafka.bootstrap\)") as caught:
        KafkaSource(settings, decode)
    assert HUSH not in str(caught.value)


def test_an_option_that_no_client_of_kafka_has_is_refused():
    with pytest.raises(Refused, match=r"kafka.extra: kafka-python has no option sesion_timeout_ms"):
        KafkaSource(KafkaSettings(extra={"sesion_timeout_ms": 1}), decode)


@pytest.mark.kafka
def test_an_option_of_the_producer_alone_does_not_hinder_the_source(settings):
    both = settings.model_copy(update={"extra": {"linger_ms": 5, "fetch_max_wait_ms": 10}})
    KafkaSource(both, decode).close()


@pytest.mark.kafka
def test_offsets_are_not_committed_into_a_group_that_has_members(settings, source):
    send(settings, window(0))
    with group_member(settings):
        with pytest.raises(Refused, match=rf'group "{settings.group}" \(kafka.group\) has live members'):
            source.commit({Partition(settings.topic, 0): 1})
        source.commit({Partition(settings.topic, 0): 1}, wait=False)
        with pytest.raises(Refused, match="has live members"):
            commit_without_waiting(source, {Partition(settings.topic, 0): 1})
    source.commit({Partition(settings.topic, 0): 1})


@pytest.mark.kafka
def test_a_record_of_five_megabytes_is_read(settings, source):
    send(settings, window(1, "x" * (5 << 20)), window(2))
    source.assign({Partition(settings.topic, 0): 0})
    assert ids(source, 2) == [1, 2]


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_unavailable(settings, monkeypatch):
    monkeypatch.setattr("undertow.adapters.kafka_places.ANSWER_MS", 500)
    source = KafkaSource(settings, decode)
    with pytest.raises(Unavailable, match="say where elsewhere-0 begin and end"):
        source.assign({Partition("elsewhere", 0): 0})
    source.close()


@pytest.mark.kafka
def test_after_a_bad_checksum_the_batch_is_read_again(settings, source, monkeypatch):
    send(settings, window(0))
    source.assign({Partition(settings.topic, 0): 0})
    assert ids(source, 1) == [0]
    honest, verdicts = DefaultRecordBatch.validate_crc, iter([False])
    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: next(verdicts, True) and honest(batch))
    send(settings, window(1), window(2))
    assert "crc check" in complaint(source)
    assert ids(source, 2) == [1, 2]


# A broker of its own, for it is stopped and started -------------------------------------------------------------------


def broker(server: KafkaServer) -> Process:
    process = start_kafka(server, leashed=True)
    await_kafka(server, process)
    return process


@pytest.mark.kafka
def test_reading_goes_on_after_the_broker_was_frozen_and_after_it_was_restarted(tmp_path, monkeypatch):
    monkeypatch.setattr("undertow.adapters.kafka_topic_id.SILENT_S", 2.0)
    server = KafkaServer(folder=tmp_path, port=free_port(), controller_port=free_port(), is_short_lived=True)
    process = broker(server)
    source = None
    try:
        settings = KafkaSettings(
            bootstrap=server.address, extra={"request_timeout_ms": 2000, "reconnect_backoff_max_ms": 200}
        )
        ensure_topic(settings, settings.topic)
        source = KafkaSource(settings, decode)
        p0 = Partition(settings.topic, 0)
        source.assign({p0: 0})
        send(settings, window(0))
        assert ids(source, 1) == [0]

        os.kill(process.pid, signal.SIGSTOP)
        for _ in range(15):  # longer than a request may take
            assert poll(source) is None
        assert source.silence.startswith(f"Kafka at {server.address} (kafka.bootstrap) has not answered for ")
        os.kill(process.pid, signal.SIGCONT)
        send(settings, window(1))
        assert ids(source, 1) == [1]
        assert (poll(source), source.silence) == (None, None)

        stop(process, grace_seconds=STOP_S)
        assert poll(source) is None
        process = broker(server)
        send(settings, window(2))
        assert ids(source, 1) == [2]
        source.commit({p0: 3})
        assert source.lag() == {p0: 0}
    finally:
        if source is not None:
            source.close()
        stop(process, grace_seconds=STOP_S)


def test_records_that_could_not_be_looked_up_are_delivered_again(settings):
    away = [True]

    def decode_or_not(records):
        if away[0]:
            raise Unavailable("the schema registry")
        return decode(records)

    source = KafkaSource(settings, decode_or_not)
    source.assign({Partition(settings.topic, 0): 0})
    send(settings, *(window(number) for number in range(3)))
    assert complaint(source) == "the schema registry"
    assert complaint(source) == "the schema registry"
    away[0] = False
    assert ids(source, 3) == [0, 1, 2]
    source.close()
