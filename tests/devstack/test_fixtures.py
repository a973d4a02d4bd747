"""What every room may count on from the shared fixtures."""

import logging

import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

LARGE = 8 << 20
APPEND_TIME = 1


@pytest.mark.redis
def test_redis_keeps_a_value(redis_address: str, redis_prefix: str) -> None:
    host, port = redis_address.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        client.set(redis_prefix, b"value")
        assert client.get(redis_prefix) == b"value"


@pytest.mark.kafka
def test_kafka_takes_large_records_and_stamps_them_at_append(kafka_bootstrap: str, topic_name: str) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.create_topics([NewTopic(topic_name, 1, 1)])
    with KafkaProducer(bootstrap_servers=kafka_bootstrap, max_request_size=2 * LARGE) as producer:
        producer.send(topic_name, b"x" * LARGE, timestamp_ms=1).get(30)
    with KafkaConsumer(bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest", group_id=None) as consumer:
        consumer.assign([TopicPartition(topic_name, 0)])
        record = next(consumer)
    assert len(record.value) == LARGE
    assert record.timestamp_type == APPEND_TIME
    assert record.timestamp > 1


@pytest.mark.kafka
def test_a_topic_is_not_created_by_asking_for_it(kafka_bootstrap: str, topic_name: str) -> None:
    with KafkaConsumer(bootstrap_servers=kafka_bootstrap, group_id=None) as consumer:
        assert not consumer.partitions_for_topic(topic_name)
        assert topic_name not in consumer.topics()


@pytest.mark.expects_errors
def test_an_error_that_is_expected_may_be_logged() -> None:
    logging.getLogger("undertow.devstack").error("on purpose")
