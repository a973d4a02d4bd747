"""Send records to Kafka: one producer, and the partitioner.

In: settings, keys and values. Out: records of the topic, acknowledged. Knows nothing of the content of values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from undertow.adapters.kafka_client import client_options, translate_error
from undertow.settings.sections import KafkaSettings


class Send(Protocol):
    """Sends a record; blocks while too many are unacknowledged (backpressure)."""

    def __call__(self, key: bytes | None, value: bytes, partition: int | None = None) -> None:
        """Send to the partition of the key, or to `partition`."""


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition to which Kafka's own producers send this key."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


@contextmanager
def open_send(settings: KafkaSettings) -> Iterator[Send]:
    """Connect a producer; at exit all records are acknowledged, or `Unavailable` is raised."""
    doing = f"take windows into {settings.topic} (kafka.topic)"
    try:
        producer = KafkaProducer(**client_options(settings, KafkaProducer, acks="all"))
    except KafkaError as error:
        raise translate_error(error, doing, settings) from error
    failures: list[KafkaError] = []

    def send(key: bytes | None, value: bytes, partition: int | None = None) -> None:
        producer.send(settings.topic, key=key, value=value, partition=partition).add_errback(failures.append)

    try:
        yield send
        producer.flush()
    except KafkaError as error:
        failures.append(error)
    finally:
        producer.close(timeout=5)
    if failures:
        raise translate_error(failures[0], doing, settings) from failures[0]
