"""The offsets that a stream commits are those that Kafka's own tools call lag."""

import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaProducer

from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline
from undertow.core.embedding import Embedded
from undertow.core.errors import Refused
from undertow.devstack.jars import KAFKA_VERSION, java, kafka_jars
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.checkpoint import Limits
from undertow.stream.loop import Stream

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

CONTRACT = InputContract(
    series=(IdColumn(name="pump", type="string"),), past=(Column(name="flow"),), min_length=2, max_length=2
)


def embed(windows):
    batch = EmbeddingBatch(
        space="0" * 64,
        series={"pump": windows.series["pump"]},
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"embedding": np.zeros((len(windows), 2), np.float32)},
    )
    return Embedded(embeddings=batch, rows=np.arange(len(windows)), faults=())


@pytest.fixture(scope="session")
def consumer_groups(tmp_path_factory):
    """Kafka's own `kafka-consumer-groups.sh`: its jar is not among those that a broker needs."""
    import jgo.maven  # noqa: PLC0415 an optional extra
    import jgo.parse  # noqa: PLC0415 likewise

    try:
        program, jars = str(java()), kafka_jars()
        maven = jgo.maven.MavenContext(repo_cache=Path(tmp_path_factory.mktemp("maven")), timeout=60)
        tools = jgo.parse.Coordinate("org.apache.kafka", "kafka-tools", KAFKA_VERSION, scope="compile")
        jar = maven.create_dependency(tools).artifact.resolve()
    except (Refused, OSError, RuntimeError, ValueError) as missing:
        pytest.skip(f"Kafka's tools cannot be had: {missing}")
    path = f"{jars}/*:{jar}"
    return [
        program,
        "-XX:TieredStopAtLevel=1",
        "-cp",
        path,
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ]


def described(command, bootstrap, group):
    """What it says of a group: for each partition the committed offset, the end, the lag."""
    arguments = ["--bootstrap-server", bootstrap, "--describe", "--group", group]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    table = [line.split() for line in done.stdout.splitlines() if line.startswith(("GROUP", group))]
    assert table[0][:6] == ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"], done.stdout
    return {int(row[2]): tuple(int(number) for number in row[3:6]) for row in table[1:]}


def test_a_drained_stream_has_no_lag_and_what_comes_later_is_lag(kafka_bootstrap, topic_name, consumer_groups):
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, group=topic_name)
    ensure_topic(settings, topic_name, partitions=2)
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    for end in range(5):
        producer.send(topic_name, b'{"series":{"pump":"p"},"end":%d,"past":{"flow":[1,2]}}' % end, partition=0)
    producer.send(topic_name, b"{", partition=1)
    producer.flush()

    stream = Stream(
        source=KafkaSource(settings, partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)),
        embed=embed,
        online=MemoryOnline({}),
        offline=MemoryOfflineLog(MemoryChains()),
        dead_letters=MemoryDeadLetters(),
        limits=Limits(checkpoint_seconds=2.0),
    )
    stream.assign(Partition(topic_name, index) for index in range(2))
    while stream.counts.records < 6:
        stream.step()
    stream.checkpoint()
    stream.close()
    assert described(consumer_groups, kafka_bootstrap, topic_name) == {0: (5, 5, 0), 1: (1, 1, 0)}

    producer.send(topic_name, b"{}", partition=1)
    producer.close()
    assert described(consumer_groups, kafka_bootstrap, topic_name) == {0: (5, 5, 0), 1: (1, 2, 1)}
