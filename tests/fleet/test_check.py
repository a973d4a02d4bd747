"""`undertow check` on real services."""

import re

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient

from tests.fleet.live import running, wait_until, with_fleet
from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.kafka_lease import KafkaLease
from undertow.cli.main import main
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.fleet import lease

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


def check(settings, *changes):
    """Return the exit code, the parts that failed, and what is said of each part."""
    options = [
        f"--set={section}.{key}={value}"
        for section, values in settings.model_dump(exclude_unset=True).items()
        for key, value in values.items()
    ]
    result = CliRunner().invoke(main, ["check", *options, *changes])
    lines = re.findall(r"^(ok|failed) +([a-z ]+): (.*)$", result.output, re.MULTILINE)
    assert [name for _, name, _ in lines] == [
        "artifact",
        "kafka",
        "dead letters",
        "group",
        "online store",
        "offline log",
    ]
    failed = [name for verdict, name, _ in lines if verdict == "failed"]
    return result.exit_code, failed, {name: told for _, name, told in lines}


def test_check_ends_with_0_where_all_is_there_and_with_1_and_a_failed_line_for_what_is_not(make_place, monkeypatch):
    settings = make_place(partitions=3).settings
    code, failed, told = check(settings)
    assert (code, failed) == (0, [])
    assert told["artifact"].startswith("pumps__")
    assert told["kafka"] == f"topic {settings.kafka.topic} with 3 partitions at {settings.kafka.bootstrap}"
    assert told["group"] == f"{settings.kafka.group} is free"
    assert told["online store"].startswith("redis, view pumps__")
    empty = "which can be written; no partition has a part there yet"
    assert told["offline log"] == f"{settings.offline.path}, {empty}"

    away = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_REDIS", away)
    code, failed, told = check(settings, "--set=kafka.topic=nowhere")
    assert (code, failed) == (1, ["kafka", "online store"])
    assert "kafka-topics.sh" in told["kafka"]
    assert away in told["online store"]


def test_a_log_that_was_moved_is_told_in_the_log_s_own_line_and_only_there(make_place, tmp_path):
    settings = make_place(partitions=1).settings
    settings.offline.path.rename(tmp_path / "moved")
    code, failed, told = check(settings)
    assert (code, failed) == (1, ["offline log"])
    assert f"expected at {settings.offline.path} (offline.path) the offline log" in told["offline log"]


def test_the_group_s_line_names_the_fleet_that_reads_it(make_place, monkeypatch):
    settings = make_place(partitions=1).settings
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    with KafkaLease(settings.kafka) as sign:
        beat = lease.Heartbeat(lease.own_lease("night", "a run"), write=sign.write)
        try:
            code, failed, told = check(settings)
            assert (code, failed) == (1, ["group"])
            for part in ("fleet 'night' reads this topic under this group already: started on ", " UTC", "drain"):
                assert part in told["group"]
            code, failed, told = check(settings, "--set=fleet.name=night")
            assert (code, failed) == (0, [])
            assert "fleet 'night' reads this topic under this group, started on" in told["group"]
        finally:
            beat.stop(is_last=True)
        assert check(settings)[2]["group"] == f"{settings.kafka.group} is free"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_the_log_s_line_says_what_run_will_where_the_topic_is_another(make_place, make_windows):
    place = make_place(partitions=1)
    with running(with_fleet(place.settings)) as fleet:
        place.produce(make_windows(20, pumps=2), partitions=1)
        wait_until(fleet, lambda status: status.counts.windows >= 20)
    assert check(place.settings)[1] == []
    kafka = place.settings.kafka
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap) as admin:
        admin.delete_topics([kafka.topic])
    ensure_topic(kafka, kafka.topic, partitions=1)
    code, failed, told = check(place.settings)
    assert (code, failed) == (1, ["offline log"])
    assert f"/{kafka.topic} " in told["offline log"].partition("keep the old rows readable: mv ")[2]
