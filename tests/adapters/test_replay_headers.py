"""Which headers of a dead letter are ours and which its producer's, on a real Kafka."""

import pytest
from kafka import KafkaProducer

from undertow.adapters.kafka_admin import ensure_dead_letters, ensure_topic
from undertow.adapters.kafka_dead_letters import KafkaDeadLetters
from undertow.adapters.kafka_replay import DeadLetter, read_dead_letters, send_again
from undertow.commands.replay import LetterFilter, PickedLetters, judge
from undertow.schemas.records import Partition, Record, Reject
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import Settings

pytestmark = pytest.mark.kafka
THEIRS = (("truncated", b"1"), ("partition", b"abc"), ("reason", b"because"), ("offset", b"9"), ("sent", b"x"))


@pytest.fixture
def kafka(kafka_bootstrap, topic_name) -> KafkaSettings:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name)
    ensure_topic(settings, topic_name, partitions=2)
    ensure_dead_letters(settings)
    return settings


def test_headers_of_the_producer_that_are_named_as_ours_without_the_prefix_stay_his(kafka):
    record = Record(
        partition=Partition(kafka.topic, 1), offset=4, appended_us=5_000, value=b"v", key=b"k", headers=THEIRS
    )
    letters = KafkaDeadLetters(kafka)
    letters.write([Reject(record=record, reason="number", detail="why")])
    letters.close()
    (letter,) = read_dead_letters(kafka)
    assert isinstance(letter, DeadLetter)
    assert (letter.origin, letter.origin_offset, letter.reason) == (Partition(kafka.topic, 1), 4, "number")
    assert not letter.is_cut
    assert letter.headers == THEIRS
    assert send_again(kafka, [(letter, b"v")]) == 1
    assert LetterFilter().pick(read_dead_letters(kafka)) == PickedLetters(letters=[], sent=1)


def test_a_letter_of_another_program_is_shown_and_stays_whatever_its_headers_say(kafka):
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    ours = [("undertow.topic", kafka.topic.encode()), ("undertow.partition", b"abc"), ("undertow.offset", b"-5")]
    producer.send(kafka.dead_letter_topic, b"v", headers=ours)
    producer.flush()
    producer.close()
    (letter,) = read_dead_letters(kafka)
    assert (letter.origin, letter.origin_offset) == (Partition(kafka.topic, -1), -1)
    assert "does not tell which partition" in judge(letter, [], Settings(kafka=kafka), None).fault
