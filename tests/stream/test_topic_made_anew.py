"""A topic that is deleted and made anew under a stream, on a real Kafka and a real folder, until all of it is read."""

import shutil
from functools import partial

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from tests.stream.conftest import embed
from undertow.adapters.kafka_admin import committed, describe_topic, ensure_topic
from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.memory_stores import MemoryDeadLetters, MemoryOnline
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import claim_folder, view_folder
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import KafkaSettings
from undertow.stream.checkpoint import Limits
from undertow.stream.loop import Stream

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ID = IdColumn(name="pump", type="string")
CONTRACT = InputContract(series=(ID,), past=(Column(name="flow"),), min_length=2, max_length=2)
VIEW = SpaceView(name="pumps", space="0" * 64, series=(ID,), features=(("embedding", 2),))


def make_topic(settings, windows, first_end):
    """Make the topic and send so many windows at once, one a second from `first_end` on."""
    ensure_topic(settings, settings.topic)
    with KafkaProducer(bootstrap_servers=settings.bootstrap) as producer:
        for end in range(first_end, first_end + windows):
            value = b'{"series":{"pump":"p"},"end":%d,"past":{"flow":[%d,0]}}' % (end, end)
            producer.send(settings.topic, value, partition=0)


def make_anew(settings, windows, first_end):
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap) as admin:
        admin.delete_topics([settings.topic])
    make_topic(settings, windows, first_end)


def open_stream(settings, root, topic=None, tell=lambda _event: None):
    """One replica's stream, as a fleet that was started on `topic` opens it."""
    topic = topic or describe_topic(settings)
    decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)
    claim_folder(root, VIEW)
    return Stream(
        source=KafkaSource(settings, decode, view=VIEW.view, topic_id=topic.topic_id),
        embed=embed,
        online=MemoryOnline({}),
        offline=FileOfflineLog(
            root, VIEW, cluster_id=topic.cluster_id, topic_id=topic.topic_id, writer="test", clock=lambda: 1e9
        ),
        dead_letters=MemoryDeadLetters(),
        limits=Limits(checkpoint_seconds=2.0),
        tell=tell,
    )


def read_all(stream, topic, records):
    stream.assign([Partition(topic, 0)])
    while stream.counts.records < records:
        stream.step()
    stream.checkpoint()


def step_until_it_ends(stream):
    for _ in range(300):
        stream.step()
    stream.checkpoint()


def test_all_of_a_topic_that_was_made_anew_is_read_once_the_old_chain_is_moved_away(
    kafka_bootstrap, topic_name, tmp_path, monkeypatch
):
    monkeypatch.setattr("undertow.adapters.kafka_topic_id.DOUBT_S", 0.05)
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, group=topic_name)
    make_topic(settings, 50, first_end=0)
    before = describe_topic(settings)
    reader, spare, p0 = open_stream(settings, tmp_path), open_stream(settings, tmp_path), Partition(topic_name, 0)
    read_all(reader, topic_name, 50)
    make_anew(settings, 300, first_end=1000)

    with pytest.raises(Refused, match="made anew"):
        step_until_it_ends(reader)  # who reads it goes on to fetch by its name
    reader.close()
    with pytest.raises(Refused, match=f'"{topic_name}" was deleted and made anew'):
        spare.assign([p0])  # who takes over finds a chain that ends at 50, and a topic that goes on behind
    spare.close()
    assert read_rows(tmp_path).num_rows == 50
    assert committed(settings, [p0]).get(p0) in {None, 50}  # the broker forgets a deleted topic's, unless told again

    again = open_stream(settings, tmp_path)
    with pytest.raises(Refused, match=rf"mv {view_folder(tmp_path, VIEW)}/{topic_name} \S+@{before.topic_id}"):
        again.assign([p0])
    again.close()
    folder = view_folder(tmp_path, VIEW) / topic_name
    shutil.move(folder, f"{folder}@{before.topic_id}")
    zombie = open_stream(settings, tmp_path / "elsewhere", topic=before)
    zombie._source.commit({p0: 50})  # the first reader, whose commit arrives as late as this
    zombie.close()
    last = open_stream(settings, tmp_path)
    read_all(last, topic_name, 300)
    last.close()
    rows = read_rows(tmp_path).to_pandas()
    new = rows[rows.event_timestamp.astype("int64") >= 1000]
    assert sorted(new.origin_offset) == list(range(300))
