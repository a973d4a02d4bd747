"""A replayed window under a real fleet lands as if it had been right the first time."""

import json
import sys

import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from tests.fleet.live import assert_all_is_there_once, running, wait_until
from undertow.cli.main import main
from undertow.schemas.json_codec import encode_json

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

MEND = "import json,sys; d=json.load(sys.stdin); d['past']['flow'][0]=0.5; print(json.dumps(d))"
PUMPS = 10


def spoilt(value):
    """The window with a hole in its first flow."""
    window = json.loads(value)
    window["past"]["flow"][0] = None
    return json.dumps(window).encode()


@pytest.mark.timeout(400)
def test_a_replayed_window_is_in_both_stores_once_and_does_not_hide_a_newer_one(make_place, make_windows, packed):
    windows = make_windows(60, pumps=PUMPS)
    bad = [13, 57]  # of pump 3, which has newer ones, and the newest of pump 7
    first_flow = windows.starts[:-1][bad]
    windows.past["flow"][first_flow] = 0.5
    values = list(encode_json(windows))
    place = make_place(partitions=1)
    settings = place.settings
    with running(settings) as fleet, KafkaProducer(bootstrap_servers=place.bootstrap) as producer:
        for number, value in enumerate(values):
            producer.send(settings.kafka.topic, spoilt(value) if number in bad else value, partition=0)
        producer.flush()
        wait_until(fleet, lambda s: s.counts.windows == 58 and s.counts.rejects == {"number": 2})
        options = {"kafka.bootstrap": place.bootstrap, "kafka.topic": settings.kafka.topic}
        options["model.artifact"] = str(packed.artifact)
        said = [f"--set={name}={value}" for name, value in options.items()]
        command = ["replay", *said, "--reason", "number", "--pipe", f'{sys.executable} -c "{MEND}"', "--send"]
        for sent in (2, 0):
            result = CliRunner().invoke(main, command, env={"COLUMNS": "200"})
            assert f"sent {sent} again" in result.output, result.output
        wait_until(fleet, lambda s: s.counts.windows == 60 and s.lag == 0)

    assert_all_is_there_once(settings, windows, packed.reference(windows))
