"""A real fleet that refuses too much, and goes on where it stopped."""

import time

import pytest
from kafka import KafkaProducer

from undertow.adapters.kafka_admin import committed, end_offsets
from undertow.fleet.launch import start
from undertow.schemas.json_codec import encode_json
from undertow.schemas.records import Partition
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

GOOD = BAD = 300


def run_until(settings, holds, timeout_s=240.0):
    """Run a fleet until it is as it should be, drain it, and return its last status."""
    fleet = start(stream_recipe(settings))
    try:
        give_up_at = time.monotonic() + timeout_s
        while not holds(status := fleet.status()):
            assert time.monotonic() < give_up_at, status.to_json()
            time.sleep(0.05)
        return fleet.drain_and_wait(60)
    finally:
        fleet.remove()


@pytest.mark.expects_errors
@pytest.mark.timeout(400)
def test_too_many_rejects_end_the_fleet_with_all_that_it_passed_stored_and_the_next_run_goes_on(
    make_place, make_windows
):
    place = make_place(partitions=1)
    kafka = place.settings.kafka
    fleet = place.settings.fleet.model_copy(
        update={"replicas": 1, "max_reject_ratio": 0.3, "reject_window_records": GOOD + BAD}
    )
    settings = place.settings.model_copy(update={"fleet": fleet})
    producer = KafkaProducer(bootstrap_servers=place.bootstrap, linger_ms=5)
    for good in encode_json(make_windows(GOOD, pumps=10)):
        producer.send(kafka.topic, good, partition=0)
        producer.send(kafka.topic, b"{", partition=0)
    producer.flush()

    status = run_until(settings, lambda status: status.state == "failed")
    assert "300 of the last 600 records were refused (not-json 300), more than fleet.max_reject_ratio" in status.message
    assert f"not-json at {kafka.topic}-0@599" in status.message
    assert [line.event for line in status.lines if line.level == "ERROR"] == ["reject-ratio"]
    source, letters = Partition(kafka.topic, 0), Partition(kafka.dead_letter_topic, 0)
    assert committed(kafka, [source]) == {source: GOOD + BAD}
    assert end_offsets(kafka, [letters]) == {letters: BAD}

    place.produce(make_windows(50, pumps=5, seed=1), partitions=1)
    status = run_until(settings, lambda status: status.counts.windows == 50 and status.lag == 0)
    assert (status.state, dict(status.counts.rejects)) == ("drained", {})
    assert end_offsets(kafka, [letters]) == {letters: BAD}
    producer.close()
