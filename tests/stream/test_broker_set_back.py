"""A broker that loses its last records, as after a power cut: its data folder is set back while it is stopped."""

import shutil

import pytest
from kafka import KafkaProducer

from tests.stream.test_topic_made_anew import VIEW, open_stream, read_all
from undertow.adapters.kafka_admin import describe_topic, ensure_topic
from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.core.errors import Diverged
from undertow.devstack.kafka import STOP_S, KafkaServer, await_kafka, start_kafka
from undertow.devstack.processes import free_port, stop
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.events import TurnedBack

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


class OwnBroker:
    """A broker that a test may stop, set back and start again."""

    def __init__(self, folder):
        self.server = KafkaServer(folder=folder, port=free_port(), controller_port=free_port(), is_short_lived=True)
        self.start()

    def start(self):
        self.process = start_kafka(self.server, leashed=True)
        await_kafka(self.server, self.process)

    def stop(self):
        stop(self.process, grace_seconds=STOP_S)


def send(settings, first, count):
    with KafkaProducer(bootstrap_servers=settings.bootstrap) as producer:
        for end in range(first, first + count):
            value = b'{"series":{"pump":"p"},"end":%d,"past":{"flow":[%d,0]}}' % (end, end)
            producer.send(settings.topic, value, partition=0)


def step_and_look_again(stream, partition, records):
    """As a replica does."""
    for _ in range(400):
        try:
            stream.step()
        except Diverged:
            stream.assign(())
            stream.assign([partition])
        if stream.counts.records >= records:
            break
    stream.checkpoint()


def test_all_records_of_a_broker_that_was_set_back_are_embedded_and_the_divergence_is_told(tmp_path):
    broker, data = OwnBroker(tmp_path / "kafka"), tmp_path / "kafka" / "data"
    try:
        settings = KafkaSettings(bootstrap=broker.server.address, group="g")
        p0, root = Partition(settings.topic, 0), tmp_path / "log"
        ensure_topic(settings, settings.topic)
        send(settings, 0, 20)
        before = describe_topic(settings)
        first = open_stream(settings, root)
        read_all(first, settings.topic, 20)  # a part that the broker will hold for ever
        broker.stop()
        shutil.copytree(data, tmp_path / "copy")
        broker.start()
        send(settings, 20, 300)
        step_and_look_again(first, p0, 320)
        first.checkpoint()
        broker.stop()
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "copy", data)
        broker.start()
        send(settings, 10_000, 2_100)
        assert describe_topic(settings) == before  # nothing but the records tells

        events = []
        second = open_stream(settings, root, tell=events.append)
        read_all(second, settings.topic, 2_100)
        second.close()
        rows = read_rows(root).to_pandas()
        ends = set(rows.event_timestamp.astype("int64"))
        assert ends == {*range(320), *range(10_000, 12_100)}
        (turned,) = [event for event in events if isinstance(event, TurnedBack)]
        assert (turned.partition, turned.first, turned.next) == (p0, 20, 320)
        (chain,) = chains(view_folder(root, VIEW))
        assert (chain.first, chain.next) == (0, 2_120)
    finally:
        broker.stop()
