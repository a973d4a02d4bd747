"""The brokers that a source is shown on: one in memory and a real Kafka."""

import json
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from undertow.adapters.kafka_admin import committed, describe_topic, ensure_topic
from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.memory_source import MemoryBroker, MemorySource
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Headers, Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Source

CONTRACT = InputContract(
    series=(IdColumn(name="id", type="integer"),), past=(Column(name="x"),), min_length=1, max_length=9
)
decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


class Broker(Protocol):
    """What a test does to the world that a source reads from."""

    topic: str

    def source(self, max_batch: int = 512, view: str = "") -> Source: ...
    def append(self, index: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> int: ...
    def abort(self, index: int) -> None:
        """Use offsets up without a record that may be seen."""

    def retain(self, index: int, first: int) -> None: ...
    def recreate(self) -> None: ...
    def committed(self, index: int) -> int | None: ...


class InMemory:
    topic = "windows"

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def source(self, max_batch: int = 512, view: str = "") -> Source:
        return MemorySource(self.broker, decode, max_batch=max_batch, view=view)

    def append(self, index: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> int:
        now = int(time.time() * 1000) * 1000
        return self.broker.append(Partition(self.topic, index), value, key=key, headers=headers, appended_us=now)

    def abort(self, index: int) -> None:
        self.broker.skip(Partition(self.topic, index), 2)

    def retain(self, index: int, first: int) -> None:
        self.broker.retain(Partition(self.topic, index), first)

    def recreate(self) -> None:
        for index in range(3):
            self.broker.recreate(Partition(self.topic, index))

    def committed(self, index: int) -> int | None:
        return self.broker.committed.get(Partition(self.topic, index))


class OnKafka:
    def __init__(self, settings: KafkaSettings) -> None:
        self.settings, self.topic = settings, settings.topic
        self.opened: list[KafkaSource] = []
        self.producer: Any = KafkaProducer(bootstrap_servers=settings.bootstrap)
        ensure_topic(settings, self.topic, partitions=3)

    def source(self, max_batch: int = 512, view: str = "") -> Source:
        changed, topic = self.settings.model_copy(update={"max_batch": max_batch}), describe_topic(self.settings)
        self.opened.append(KafkaSource(changed, decode, view=view, topic_id=topic.topic_id))
        return self.opened[-1]

    def append(self, index: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> int:
        sent = self.producer.send(self.topic, value=value, key=key, headers=list(headers), partition=index)
        return int(sent.get(timeout=20).offset)

    def abort(self, index: int) -> None:
        producer = KafkaProducer(bootstrap_servers=self.settings.bootstrap, transactional_id=uuid.uuid4().hex)
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(self.topic, value=window(99), partition=index).get(timeout=20)
        producer.abort_transaction()
        producer.close()

    def retain(self, index: int, first: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap)
        admin.delete_records({TopicPartition(self.topic, index): first})
        admin.close()

    def recreate(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap)
        admin.delete_topics([self.topic])
        admin.close()
        ensure_topic(self.settings, self.topic, partitions=3)

    def committed(self, index: int) -> int | None:
        partition = Partition(self.topic, index)
        return committed(self.settings, [partition]).get(partition)

    def close(self) -> None:
        self.producer.close()
        for source in self.opened:
            source.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "memory":
        yield InMemory()
        return
    topic = request.getfixturevalue("topic_name")
    on_kafka = OnKafka(
        KafkaSettings(bootstrap=request.getfixturevalue("kafka_bootstrap"), topic=topic, group=f"group-{topic}")
    )
    yield on_kafka
    on_kafka.close()


@pytest.fixture(params=["memory", "redis", "sqlite", "postgres", "feast"])
def store(request, tmp_path, feast_project):
    """One online store under a project of its own."""
    from tests.adapters.online_stores import FeastReads, MemoryReads  # noqa: PLC0415 Feast costs 4 s

    if request.param == "memory":
        return MemoryReads()
    if request.param == "sqlite":
        return FeastReads("sqlite", feast_project, {"type": "sqlite", "path": str(tmp_path / "online.db")}, tmp_path)
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return FeastReads("postgres", feast_project, server.options(), tmp_path)
    address = request.getfixturevalue("redis_address")
    # Feast's Redis store guards by itself, like no other store, unless it is told not to.
    options = {"type": "redis", "connection_string": address, "skip_dedup": request.param == "feast"}
    return FeastReads(request.param, feast_project, options, tmp_path)
