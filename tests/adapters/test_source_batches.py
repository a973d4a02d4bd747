"""How large a batch of the Kafka source is: what has arrived, no more windows than allowed, and a short wait."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError

from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.kafka_source import KafkaSource
from undertow.core.errors import Unavailable
from undertow.schemas.arrow_codec import decode_arrow, encode_arrow
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Delivery

pytestmark = pytest.mark.kafka
CONTRACT = InputContract(
    series=(IdColumn(name="id", type="integer"),), past=(Column(name="x"),), min_length=1, max_length=9
)
LIMIT = 1 << 20


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


def windows(count: int) -> WindowBatch:
    place = Partition("t", 0)
    records = [Record(partition=place, offset=n, appended_us=0, value=window(n)) for n in range(count)]
    return decode_json(records, CONTRACT, max_record_bytes=LIMIT).windows


def first_delivery(source: KafkaSource) -> Delivery:
    while (delivery := source.poll(0.5)) is None:
        pass
    return delivery


@pytest.fixture
def settings(kafka_bootstrap: str, topic_name: str) -> KafkaSettings:
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, group=f"group-{topic_name}")
    ensure_topic(kafka, topic_name)
    return kafka


@pytest.fixture
def append(settings: KafkaSettings) -> Iterator[Callable[[bytes], None]]:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap)
    yield lambda value: producer.send(settings.topic, value=value, partition=0).get(timeout=20)
    producer.close()


@pytest.fixture
def open_source(settings: KafkaSettings) -> Iterator[Callable[..., KafkaSource]]:
    opened: list[KafkaSource] = []

    def open_one(**changed: object) -> KafkaSource:
        changed_settings = settings.model_copy(update=changed)
        decode = decode_arrow if changed_settings.format == "arrow" else decode_json
        opened.append(KafkaSource(changed_settings, partial(decode, contract=CONTRACT, max_record_bytes=LIMIT)))
        opened[-1].assign({Partition(settings.topic, 0): 0})
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


def after_each_poll_that_brings(source: KafkaSource, act: Callable[[], object]) -> None:
    """Let something happen between two polls of the client that belong to one of ours."""
    really_poll = source._consumer.poll

    def poll(**options: object) -> dict:
        if brought := really_poll(**options):
            act()
        return brought

    source._consumer.poll = poll


@pytest.mark.parametrize(("delay_ms", "expected"), [(0.0, [0]), (1000.0, [0, 1, 2])])
def test_a_batch_that_is_not_full_waits_for_more_only_where_it_may(append, open_source, delay_ms, expected):
    source, numbers = open_source(max_delay_ms=delay_ms, max_batch=3), iter([1, 2])
    after_each_poll_that_brings(source, lambda: [append(window(number)) for number in [next(numbers, None)] if number])
    append(window(0))
    assert first_delivery(source).decoded.windows.series["id"].tolist() == expected


def test_what_was_gathered_when_the_broker_fails_is_delivered_again(append, open_source):
    source = open_source(max_delay_ms=1000.0, max_batch=2)
    append(window(0))
    really_poll, calls = source._consumer.poll, []

    def poll(**options: object) -> dict:
        if calls:
            raise KafkaConnectionError
        if brought := really_poll(**options):
            calls.append(1)
        return brought

    source._consumer.poll = poll
    with pytest.raises(Unavailable):
        first_delivery(source)
    source._consumer.poll = really_poll
    append(window(1))
    assert first_delivery(source).decoded.windows.series["id"].tolist() == [0, 1]


def test_records_of_many_windows_come_a_few_at_a_time(append, open_source):
    for _ in range(20):
        append(encode_arrow(windows(4), CONTRACT))
    source = open_source(format="arrow", max_batch=8)
    taken = []
    while sum(taken) < 80:
        taken.append(len(first_delivery(source).decoded.windows))
    assert max(taken) == 8
