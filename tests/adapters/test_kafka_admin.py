"""Questions to the broker at the start of a command."""

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from tests.group_members import group_member
from undertow.adapters.kafka_admin import (
    committed,
    describe_topic,
    end_offsets,
    ensure_dead_letters,
    ensure_topic,
    group_has_members,
    refuse_live_group,
)
from undertow.adapters.kafka_source import KafkaSource
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings

HUSH = "hush-hush"
QUICKLY = {"bootstrap_timeout_ms": 200}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> KafkaSettings:
    topic = request.getfixturevalue("topic_name")
    return KafkaSettings(bootstrap=request.getfixturevalue("kafka_bootstrap"), topic=topic, group=f"group-{topic}")


def test_without_a_broker_the_setting_is_named_and_the_command_that_starts_one():
    login = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "me", "password": HUSH}
    settings = KafkaSettings(bootstrap="127.0.0.1:1", **login, extra=QUICKLY)
    with pytest.raises(Refused, match=r"127.0.0.1:1 \(kafka.bootstrap\).*undertow up") as caught:
        describe_topic(settings)
    assert HUSH not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_vendor_option_that_is_misspelt_is_refused_by_name():
    with pytest.raises(Refused, match=r"no option bootstrap_timeout \(did you mean bootstrap_timeout_ms\?\); .*pydoc"):
        describe_topic(KafkaSettings(extra={"bootstrap_timeout": 1}))
    with pytest.raises(Refused, match=r"kafka.extra: kafka-python has no option bogus; those .* kafka.KafkaConsumer"):
        describe_topic(KafkaSettings(extra={"bogus": 1}))


@pytest.mark.kafka
def test_a_topic_is_described_with_its_identity(settings):
    ensure_topic(settings, settings.topic, partitions=3)
    topic = describe_topic(settings)
    assert (topic.name, topic.partitions) == (settings.topic, 3)
    assert topic == describe_topic(settings, settings.topic)
    assert len(topic.topic_id) == 36
    assert topic.cluster_id


@pytest.mark.kafka
def test_a_topic_made_anew_has_another_identity(settings):
    ensure_topic(settings, settings.topic)
    before = describe_topic(settings)
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap)
    admin.delete_topics([settings.topic])
    admin.close()
    ensure_topic(settings, settings.topic)
    after = describe_topic(settings)
    assert before.cluster_id == after.cluster_id
    assert before.topic_id != after.topic_id


@pytest.mark.kafka
def test_a_missing_topic_is_refused_with_the_command_that_creates_it(settings):
    with pytest.raises(Refused, match=rf'"{settings.topic}" \(kafka.topic\).*--create --topic {settings.topic}'):
        describe_topic(settings)


@pytest.mark.kafka
def test_a_topic_is_made_once_and_then_left_as_it_is(settings):
    ensure_topic(settings, settings.topic, partitions=2, config={"max.message.bytes": "2000000"})
    ensure_topic(settings, settings.topic, partitions=5)
    assert describe_topic(settings).partitions == 2


@pytest.mark.kafka
def test_the_topic_for_rejects_has_room_for_the_largest_record_of_the_source(settings):
    ensure_topic(settings, settings.topic, config={"max.message.bytes": str(12 << 20)})
    ensure_dead_letters(settings)
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap, max_request_size=16 << 20)
    producer.send(settings.dead_letter_topic, value=b"x" * (12 << 20)).get(timeout=20)
    producer.close()


@pytest.mark.kafka
def test_a_group_with_members_is_refused_by_name_with_who_they_are(settings):
    ensure_topic(settings, settings.topic)
    refuse_live_group(settings)
    with group_member(settings, client_id="somebody"):
        (line,) = group_has_members(settings)
        assert line.startswith("somebody at ")
        with pytest.raises(Refused, match=rf'group "{settings.group}" \(kafka.group\) has live members \(somebody at '):
            refuse_live_group(settings)
    refuse_live_group(settings)


@pytest.mark.kafka
def test_committed_and_end_offsets_are_told_by_partition(settings):
    ensure_topic(settings, settings.topic, partitions=2)
    p0, p1 = Partition(settings.topic, 0), Partition(settings.topic, 1)
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap)
    for _ in range(2):
        producer.send(settings.topic, value=b"x", partition=1).get(timeout=20)
    producer.close()
    assert end_offsets(settings, [p0, p1]) == {p0: 0, p1: 2}
    assert committed(settings, [p0, p1]) == {}
    source = KafkaSource(settings, lambda _: pytest.fail("nothing is polled"))
    source.commit({p1: 1})
    source.close()
    assert committed(settings, [p0, p1]) == {p1: 1}
