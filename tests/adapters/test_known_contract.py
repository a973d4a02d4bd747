"""What each reader of a topic of what is known ahead promises, shown on the one in memory and on a real Kafka."""

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from tests.adapters.conftest import InMemory
from undertow.adapters.kafka_known import KafkaKnown
from undertow.adapters.memory_known import MemoryKnown
from undertow.core.errors import Unavailable
from undertow.schemas.records import Partition


@pytest.fixture
def topic(broker):
    opened = []

    def reads():
        if isinstance(broker, InMemory):
            return MemoryKnown(broker.broker, broker.topic)
        opened.append(KafkaKnown(broker.settings, broker.topic))
        return opened[-1]

    yield reads
    for one in opened:
        one.close()
        one.close()


def values(known):
    return sorted(record.value or b"" for portion in known.read() for record in portion.records)


def add_partition(broker):
    if isinstance(broker, InMemory):
        broker.broker.log(Partition(broker.topic, 3))
        return
    admin = KafkaAdminClient(bootstrap_servers=broker.settings.bootstrap)
    admin.create_partitions({broker.topic: 4})
    admin.wait_for_topics([broker.topic])
    admin.close()
    broker.producer.close()
    broker.producer = KafkaProducer(bootstrap_servers=broker.settings.bootstrap)  # this one knows of it


def test_all_is_read_from_the_beginning_then_what_is_new_then_nothing(broker, topic):
    for place, value in enumerate([b"a", None, b"c", b"d"]):
        broker.append(place % 3, value, key=b"k")
    broker.abort(0)
    known = topic()
    assert values(known) == [b"", b"a", b"c", b"d"]
    assert values(known) == []
    broker.append(2, b"e")
    assert values(known) == [b"e"]
    add_partition(broker)
    broker.append(3, b"f")
    assert values(known) == [b"f"]
    broker.retain(0, 1)
    broker.append(0, b"g")
    assert values(known) == [b"g"]
    assert values(topic()) == [b"", b"c", b"d", b"e", b"f", b"g"]


def test_a_topic_that_is_made_anew_is_read_again(broker, topic, monkeypatch):
    for value in (b"a", b"b"):
        broker.append(0, value)
    known = topic()
    first, *_ = list(known.read())
    assert not first.is_anew
    broker.recreate()
    for value in (b"c", b"d", b"e"):
        broker.append(0, value)
    if isinstance(known, KafkaKnown):  # of a new topic nobody may be leader yet

        def nobody_leads(*_):
            raise Unavailable("it is not said who leads")

        monkeypatch.setattr(known, "_offsets", nobody_leads)
        with pytest.raises(Unavailable, match="who leads"):
            list(known.read())
        monkeypatch.undo()
    first, *others = list(known.read())
    assert (first.is_anew, first.records) == (True, ())
    assert [record.value for portion in others for record in portion.records] == [b"c", b"d", b"e"]


@pytest.mark.kafka
def test_a_topic_that_is_gone_is_asked_for_again(kafka_bootstrap, topic_name):
    from undertow.settings.sections import KafkaSettings  # noqa: PLC0415  # the only one that needs it

    known = KafkaKnown(KafkaSettings(bootstrap=kafka_bootstrap), topic_name)
    with pytest.raises(Unavailable, match=f'there is no topic "{topic_name}" \\(windows.known_topic\\)'):
        list(known.read())
    known.close()
