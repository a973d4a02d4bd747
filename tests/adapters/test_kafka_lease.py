import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from undertow.adapters.kafka_admin import committed, ensure_topic
from undertow.adapters.kafka_lease import KafkaLease
from undertow.core.errors import Unavailable
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(kafka_bootstrap, topic_name):
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, group=topic_name)
    ensure_topic(settings, topic_name, partitions=2)
    return settings


def test_what_one_client_writes_another_reads_and_the_last_word_counts(kafka):
    with KafkaLease(kafka) as one, KafkaLease(kafka) as other:
        assert other.read() == ""
        one.write("first")
        assert other.read() == "first"
        other.write("s" * 1000)
        assert one.read() == "s" * 1000
        one.write("")
        assert other.read() == ""


def test_a_sign_moves_no_offset_that_anybody_reads_from(kafka):
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=kafka.group, enable_auto_commit=False)
    consumer.commit({TopicPartition(kafka.topic, 0): OffsetAndMetadata(7, "", -1)})
    consumer.close()
    with KafkaLease(kafka) as lease:
        lease.write("here")
    assert committed(kafka, [Partition(kafka.topic, 0), Partition(kafka.topic, 1)]) == {Partition(kafka.topic, 0): 7}


def test_topics_and_groups_have_signs_of_their_own(kafka):
    ensure_topic(kafka, f"{kafka.topic}-b")
    with (
        KafkaLease(kafka) as lease,
        KafkaLease(kafka.model_copy(update={"topic": f"{kafka.topic}-b"})) as of_topic,
        KafkaLease(kafka.model_copy(update={"group": f"{kafka.group}-b"})) as of_group,
    ):
        lease.write("here")
        assert (of_topic.read(), of_group.read()) == ("", "")


def test_a_broker_that_is_away_is_to_be_asked_again():
    away = KafkaSettings(bootstrap=f"{LOCALHOST}:{free_port()}", extra={"bootstrap_timeout_ms": 300})
    with KafkaLease(away) as lease, pytest.raises(Unavailable, match=r"kafka\.bootstrap"):
        lease.read()
