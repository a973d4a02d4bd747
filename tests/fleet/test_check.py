"""`undertow check` on real services."""

import re

import pytest
from click.testing import CliRunner

from workers.cli import main
from workers.devstack.processes import LOCALHOST, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


def test_check_ends_with_0_where_all_is_there_and_with_1_and_a_failed_line_for_what_is_not(make_place, monkeypatch):
    settings = make_place(partitions=3).settings
    options = [
        f"--set={section}.{key}={value}"
        for section, values in settings.model_dump(exclude_unset=True).items()
        for key, value in values.items()
    ]

    def check(*faults):
        result = CliRunner().invoke(main, ["check", *options, *faults])
        lines = re.findall(r"^(ok|failed) +([a-z ]+): (.*)$", result.output, re.MULTILINE)
        assert [name for _, name, _ in lines] == ["artifact", "kafka", "group", "online store", "offline log"]
        failed = [name for verdict, name, _ in lines if verdict == "failed"]
        return result.exit_code, failed, {name: told for _, name, told in lines}

    code, failed, told = check()
    assert (code, failed) == (0, [])
    assert told["artifact"].startswith("pumps__")
    assert told["kafka"] == f"topic {settings.kafka.topic} with 3 partitions at {settings.kafka.bootstrap}"
    assert told["group"] == f"{settings.kafka.group} is free"
    assert told["online store"].startswith("redis, view pumps__")
    assert told["offline log"] == str(settings.offline.path)

    away = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_REDIS", away)
    code, failed, told = check("--set=kafka.topic=nowhere")
    assert (code, failed) == (1, ["kafka", "online store"])
    assert "kafka-topics.sh" in told["kafka"]
    assert away in told["online store"]
