"""A forecast that another program writes into a topic: a stream has it as it was, a backfill as it is."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer

import undertow
from tests.backfill.test_backfill_observed import CONTRACT, VIEW, done_chunks, in_log, recipe_of
from undertow.adapters.kafka_admin import describe_topic, ensure_topic
from undertow.backfill.known_table import known_of_job
from undertow.backfill.observed import find_observations
from undertow.backfill.pieces import FOLDER, in_pieces
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.settings.settings import Settings
from undertow.stream.events import KnownPassedOver, KnownRead
from undertow.wiring.known_topic import read_known_topic, require_known_topic
from undertow.wiring.observed_source import SourceRecipe, describe_content, open_source

BEGIN_US, HOUR_US = 1_767_225_600_000_000, 3_600_000_000
HOURS = 8


def observed():
    hour, site = (part.ravel() for part in np.meshgrid(np.arange(HOURS), ["a", "b"]))
    times = pa.array(BEGIN_US + hour * HOUR_US, pa.int64())
    flow = np.random.default_rng(5).normal(size=len(hour))
    return pa.table({"site": site, "unit": np.ones(len(hour), int), "at": times, "flow": flow})


def forecast(price, hours):
    rows = [{"at": BEGIN_US + hour * HOUR_US, "price": price + hour} for hour in hours]
    return json.dumps(rows).encode()


@pytest.fixture
def world(tmp_path, kafka_bootstrap, topic_name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"site": ["a", "b"], "unit": [1, 1], "size": [1.5, 2.5]}), "static.parquet")
    settings = Settings(
        kafka={"bootstrap": kafka_bootstrap, "topic": topic_name, "content": "observations"},
        windows={
            "every": "1h",
            "time": "at",
            "static": "static.parquet",
            "known_topic": f"{topic_name}.ahead",
            "known_seconds": 0,
        },
        offline={"path": tmp_path / "log"},
    )
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap)

    def send(topic, *sent):
        for value in sent:
            producer.send(topic, value=value, key=b"k", partition=0).get(timeout=20)

    yield settings, send
    producer.close()


def numbers(windows):
    """What windows hold, by series and end."""
    begins = windows.starts
    return {
        (windows.series["site"][row], int(windows.end_us[row])): (
            windows.past["flow"][begins[row] : begins[row + 1]].tolist(),
            windows.past["price"][begins[row] : begins[row + 1]].tolist(),
            windows.future["price"][row].tolist(),
            windows.static["size"][row],
        )
        for row in range(len(windows))
    }


def of_frame(settings, known):
    made = undertow.windows(observed(), CONTRACT, settings.windows.spec(), known=known, static="static.parquet")
    return numbers(made.take(np.arange(len(made))))


@pytest.mark.kafka
def test_a_stream_has_what_was_known_and_a_backfill_what_is_known(world):
    settings, send = world
    ahead, topic = settings.windows.known_topic, settings.kafka.topic
    assert describe_content(settings, CONTRACT).endswith(f"lateness 0; price from {ahead}")
    with pytest.raises(Refused, match=rf'expected the topic "{ahead}" \(windows.known_topic\)'):
        require_known_topic(settings, CONTRACT)
    for name in (ahead, topic):
        ensure_topic(settings.kafka, name)
    send(ahead, forecast(0.0, range(HOURS + 1)), None)

    events, info = [], describe_topic(settings.kafka)
    embed = SimpleNamespace(
        manifest=SimpleNamespace(view=lambda: VIEW, contract=CONTRACT), offline=settings.offline, log=None
    )
    recipe = SourceRecipe(
        kafka=settings.kafka, windows=settings.windows, topic_id=info.topic_id, cluster_id=info.cluster_id
    )
    source, _ = open_source(recipe, embed, events.append, lambda: False, None)
    source.assign({Partition(topic, 0): 0})
    found = {}

    def read(rows):
        """Send observations, and read the windows that they complete."""
        send(topic, *(json.dumps(row).encode() for row in rows))
        records = 0
        while records < len(rows):
            if (delivery := source.poll(0.5)) is not None:
                records += len(delivery.records)
                found.update(numbers(delivery.decoded.windows))

    rows = observed().to_pylist()
    read([row for row in rows if row["at"] < BEGIN_US + 4 * HOUR_US])
    first = pa.Table.from_pylist(json.loads(forecast(0.0, range(HOURS + 1))))
    was = of_frame(settings, first)
    assert found == {key: held for key, held in was.items() if key[1] < BEGIN_US + 4 * HOUR_US} != {}

    send(ahead, forecast(50.0, range(4, HOURS + 1)), b'{"at": "noon", "price": 1}')
    read([row for row in rows if row["at"] >= BEGIN_US + 4 * HOUR_US])
    source.close()
    source.close()
    now = read_known_topic(settings, CONTRACT)
    assert now.told.startswith(f"9 rows of price in {ahead}; 1 row is passed over, the last {ahead}-0@3: at: expected")
    hours = [BEGIN_US + hour * HOUR_US for hour in range(HOURS + 1)]
    assert now.table["price"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 54.0, 55.0, 56.0, 57.0, 58.0]
    assert now.table["at"].cast(pa.int64()).to_pylist() == hours
    newest = of_frame(settings, now.table)
    assert found == {key: (was if key[1] < BEGIN_US + 4 * HOUR_US else newest)[key] for key in was}
    assert [(one.records, one.rows) for one in events if isinstance(one, KnownRead)] == [(2, 9)]
    assert [one.rows for one in events if isinstance(one, KnownPassedOver)] == [1]
    is_backfilled_with(now, newest, settings, send)


def is_backfilled_with(now, newest, settings, send):
    """What goes on after a crash has what was read before it, whatever was sent since."""
    ahead = settings.windows.known_topic
    pq.write_table(observed(), "history.parquet")
    job, said = recipe_of(settings, settings.offline.path.parent / "history.parquet"), []
    with pytest.raises(OSError, match="a crash"), known_of_job(job, settings, said.append):
        raise OSError("a crash")
    send(ahead, forecast(90.0, range(HOURS + 1)))
    other = settings.model_copy(
        update={"windows": settings.windows.model_copy(update={"known_topic": settings.kafka.topic})}
    )
    for _ in range(2):  # of another topic nothing was read, and what says nothing is not kept for a later run
        with pytest.raises(Refused, match=r"no window can be made: .* there are 0 rows of price in"):
            known_of_job(job, other, lambda _: None).__enter__()
    with known_of_job(job, settings, said.append) as known:
        history = find_observations(job.history, settings.windows, CONTRACT, known)
        with in_pieces(job, history, settings) as of_pieces:
            done_chunks(of_pieces)
    sums = [round(flow + size, 4) for flow, size in [(sum(held[0]), held[3]) for _, held in sorted(newest.items())]]
    assert [round(row["sums"][0], 4) for row in in_log(job)] == sums
    assert [row["sums"][1] for row in in_log(job)] == [held[2][0] for _, held in sorted(newest.items())]
    assert said == [
        f"what is known ahead: {now.told}",
        f"what is known ahead is what the run before has read of {ahead}",
    ]
    assert not (job.folder / FOLDER).exists()
