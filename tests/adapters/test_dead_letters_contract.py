"""What every place for rejects promises, shown on the one in memory and on a real Kafka."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from undertow.adapters.kafka_admin import ensure_dead_letters, ensure_topic
from undertow.adapters.kafka_dead_letters import KEY, KafkaDeadLetters, headers_of
from undertow.adapters.memory_stores import MemoryDeadLetters
from undertow.schemas.records import Headers, Partition, Record, Reject
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import DeadLetters

Row = tuple[bytes | None, bytes | None, dict[str, bytes]]


def reject(value: bytes | None = b"{", key: bytes | None = b"k", headers: Headers = (("h", b"1"),)) -> Reject:
    record = Record(
        partition=Partition("windows", 3), offset=17, appended_us=1_000_000, value=value, key=key, headers=headers
    )
    return Reject(record=record, reason="number", detail="past.ax[1]: expected …, found null")


def read_back(settings: KafkaSettings) -> list[Any]:
    """Everything that is in the dead-letter topic now."""
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")
    tp = TopicPartition(settings.dead_letter_topic, 0)
    consumer.assign([tp])
    consumer.seek_to_beginning(tp)
    end, records = consumer.end_offsets([tp])[tp], []
    while len(records) < end:
        records += consumer.poll(timeout_ms=1000).get(tp, [])
    consumer.close()
    return records


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> KafkaSettings:
    kafka = KafkaSettings(
        bootstrap=request.getfixturevalue("kafka_bootstrap"), topic=request.getfixturevalue("topic_name")
    )
    ensure_topic(kafka, kafka.topic, config={"max.message.bytes": "1000000"})
    ensure_dead_letters(kafka)
    return kafka


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[DeadLetters, Callable[[], list[Row]]]]:
    """A place, and a look at what is in it: key, value and headers of each record."""
    if request.param == "memory":
        memory = MemoryDeadLetters()
        yield (
            memory,
            lambda: [(r.record.key, r.record.value, dict([*r.record.headers, *headers_of(r)])) for r in memory.rejects],
        )
        return
    kafka = request.getfixturevalue("settings")
    letters = KafkaDeadLetters(kafka)
    yield letters, lambda: [row(record) for record in read_back(kafka)]
    letters.close()


def row(record: Any) -> Row:
    """Return a letter as its record was: its own key is that of the place it came from."""
    headers = dict(record.headers)
    return headers.pop(KEY, None), record.value, headers


def test_a_reject_is_kept_as_it_was_with_why_and_where_from(place):
    letters, look = place
    letters.write([reject(b"\x00{not json", key=b"\xff")])
    assert look() == [
        (
            b"\xff",
            b"\x00{not json",
            {
                "h": b"1",
                "undertow.reason": b"number",
                "undertow.detail": "past.ax[1]: expected …, found null".encode(),
                "undertow.topic": b"windows",
                "undertow.partition": b"3",
                "undertow.offset": b"17",
                "undertow.timestamp_us": b"1000000",
            },
        )
    ]


def test_rejects_keep_their_order_and_may_be_written_again(place):
    letters, look = place
    letters.write(reject(b"%d" % number) for number in range(3))
    letters.write([reject(b"2")])
    assert [value for _, value, _ in look()] == [b"0", b"1", b"2", b"2"]


def test_nothing_to_write_is_nothing_written(place):
    letters, look = place
    letters.write([])
    assert look() == []


def test_a_record_of_five_megabytes_is_kept_whole(place):
    letters, look = place
    large = b"x" * (5 << 20)
    letters.write([reject(large)])
    ((_, value, headers),) = look()
    assert value == large
    assert "undertow.truncated" not in headers


def test_closing_twice_is_closing(place):
    letters, _ = place
    letters.close()
    letters.close()


def told(record: Any) -> dict[str, bytes]:
    return dict(record.headers)


@pytest.mark.kafka
@pytest.mark.parametrize("size", [9 << 20, 70 << 20], ids=["for the topic", "for a request"])
def test_of_a_record_that_is_too_large_the_head_is_kept_and_its_size(settings, size):
    letters = KafkaDeadLetters(settings)
    letters.write([reject(b"before"), reject(b"x" * size), reject(b"after")])
    letters.close()
    before, after, head = sorted(read_back(settings), key=lambda record: len(record.value))
    assert {before.value, after.value} == {b"before", b"after"}
    assert head.value == b"x" * (64 << 10)
    assert told(head)["undertow.truncated"] == b"%d" % size
    assert told(head)["undertow.offset"] == b"17"
    assert (told(head)[KEY], told(head)["h"]) == (b"k", b"1")


@pytest.mark.kafka
def test_of_a_record_whose_key_and_headers_are_too_large_these_are_left_out(settings):
    letters = KafkaDeadLetters(settings)
    letters.write([reject(b"small", headers=(("h", b"1" * (9 << 20)),))])
    letters.close()
    (record,) = read_back(settings)
    assert (told(record).get(KEY), record.value) == (None, b"small")
    assert told(record)["undertow.truncated"] == b"5"
    assert "h" not in told(record)


@pytest.mark.kafka
def test_a_record_without_key_and_value_is_kept_as_an_empty_one(settings):
    letters = KafkaDeadLetters(settings)
    letters.write([reject(None, key=None), reject(None)])
    letters.close()
    bare, keyed = read_back(settings)
    assert (told(bare).get(KEY), bare.value) == (None, b"")
    assert (told(keyed)[KEY], keyed.value) == (b"k", b"")


@pytest.mark.kafka
def test_what_an_earlier_refusal_said_is_replaced_and_other_headers_stay(settings):
    letters = KafkaDeadLetters(settings)
    letters.write([reject(headers=(("undertow.reason", b"end"), ("h", b"1"), ("h", b"2")))])
    letters.close()
    (record,) = read_back(settings)
    assert [(name, value) for name, value in record.headers if name in ("h", "undertow.reason")] == [
        ("h", b"1"),
        ("h", b"2"),
        ("undertow.reason", b"number"),
    ]
