"""Whatever the topic for rejects is like, or becomes, no record of it holds the stream up. On a real Kafka."""

import itertools

import pytest
from kafka import KafkaAdminClient

from undertow.adapters import kafka_dead_letters
from undertow.adapters.kafka_admin import describe_dead_letters, ensure_dead_letters, ensure_topic
from undertow.adapters.kafka_dead_letters import KafkaDeadLetters, letter_key
from undertow.adapters.kafka_replay import DeadLetter, read_dead_letters, send_again
from undertow.commands.replay import LetterFilter
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.records import Partition, Record, Reject
from undertow.settings.sections import KafkaSettings

pytestmark = pytest.mark.kafka
OFFSETS = itertools.count()


@pytest.fixture
def make(kafka_bootstrap, topic_name):
    """Return a function that makes a source topic, and one for its rejects with this configuration."""

    def act(**config: str) -> KafkaSettings:
        kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name)
        ensure_topic(kafka, topic_name)
        named = {name.replace("_", "."): value for name, value in config.items()}
        ensure_topic(kafka, kafka.dead_letter_topic, config=named)
        return kafka

    return act


def reject(kafka: KafkaSettings, value: bytes | None, key: bytes | None = None, headers=(("h", b"1"),)) -> Reject:
    record = Record(
        partition=Partition(kafka.topic, 0),
        offset=next(OFFSETS),
        appended_us=5,
        value=value,
        key=key,
        headers=headers,
    )
    return Reject(record=record, reason="not-json", detail="no JSON")


def write(kafka: KafkaSettings, *rejects: Reject) -> list[DeadLetter]:
    letters = KafkaDeadLetters(kafka)
    letters.write(rejects)
    letters.close()
    return [one for one in read_dead_letters(kafka) if isinstance(one, DeadLetter)]


@pytest.mark.parametrize(("most", "kept"), [("20000", 16 << 10), ("2500", 2 << 10), ("600", 256)])
def test_a_topic_for_small_records_keeps_as_much_of_a_large_one_as_it_takes_and_its_neighbours_whole(make, most, kept):
    kafka = make(max_message_bytes=most)
    small = [reject(kafka, b"%d" % number, b"k") for number in range(40)]
    found = write(kafka, *small[:20], reject(kafka, b"x" * 100_000, b"k"), *small[20:])
    (cut,) = [one for one in found if one.is_cut]
    assert (cut.value, cut.key, cut.headers) == (b"x" * kept, b"k", (("h", b"1"),))
    assert sorted(int(one.value) for one in found if not one.is_cut) == [*range(40)]


def test_of_a_record_with_large_headers_what_says_why_and_where_from_is_left(make):
    kafka = make(max_message_bytes="3000")
    (letter,) = write(kafka, reject(kafka, b"value", b"k", (("h", b"1" * 9000),)))
    assert letter.is_cut
    assert (letter.value, letter.key, letter.headers) == (b"value", None, ())
    assert letter.reason == "not-json"


def test_a_topic_that_is_compacted_takes_records_without_a_key_and_loses_none_of_one_key(make):
    kafka = make(cleanup_policy="compact")
    found = write(kafka, reject(kafka, b"1"), reject(kafka, b"2", b"k"), reject(kafka, b"3", b"k"), reject(kafka, None))
    assert [(one.key, one.value) for one in found] == [(None, b"1"), (b"k", b"2"), (b"k", b"3"), (None, b"")]
    assert len({one.origin_offset for one in found}) == 4
    assert send_again(kafka, [(one, one.value) for one in found]) == 4
    assert LetterFilter().pick(read_dead_letters(kafka)).sent == 4


def test_every_letter_has_a_key_of_its_own_for_compaction_to_keep():
    kafka = KafkaSettings(topic="windows")
    records = [reject(kafka, value, b"k").record for value in (b"1", b"2")]
    keys = {letter_key(record, {"space": space}) for record in records for space in ("a" * 64, "b")}
    assert len(keys) == 4


def test_a_topic_that_was_deleted_under_a_running_stream_is_made_again(make, monkeypatch):
    monkeypatch.setattr(kafka_dead_letters, "GIVE_UP_AFTER_MS", 2_000)
    kafka = make()
    letters = KafkaDeadLetters(kafka)
    letters.write([reject(kafka, b"before")])
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_topics([kafka.dead_letter_topic])
    admin.close()
    after = reject(kafka, b"after")
    with pytest.raises(
        Unavailable, match=rf"{kafka.dead_letter_topic} \(kafka.dead_letters\) was missing, and is made"
    ):
        letters.write([after])
    letters.write([after])
    letters.close()
    assert b"after" in {one.value for one in read_dead_letters(kafka)}


def test_what_cannot_take_a_letter_is_refused_at_start_and_by_check(make):
    kafka = make(max_message_bytes="1000")
    for look in (ensure_dead_letters, describe_dead_letters):
        with pytest.raises(
            Refused, match=rf'"{kafka.dead_letter_topic}" \(kafka.dead_letters\).*max.message.bytes is 1,000'
        ):
            look(kafka)


def test_check_tells_what_the_topic_keeps_and_that_there_is_none_yet(make):
    kafka = make(max_message_bytes="20000", cleanup_policy="compact")
    said = describe_dead_letters(kafka)
    assert "keeps 20,000 bytes of a record at most" in said
    assert "cleanup.policy compact" in said
    other = kafka.model_copy(update={"dead_letters": "nowhere"})
    assert describe_dead_letters(other) == "there is no topic nowhere yet; undertow run makes it"


def test_it_is_made_without_compaction_whatever_the_brokers_default(make, topic_name):
    kafka = make().model_copy(update={"dead_letters": f"{topic_name}.others"})
    ensure_dead_letters(kafka)
    assert describe_dead_letters(kafka).endswith("cleanup.policy delete")
