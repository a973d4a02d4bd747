"""A Redis that takes connections and answers nothing, as a stopped process does: each command ends in one line."""

import re
import socket

import pytest
from click.testing import CliRunner

from undertow.adapters import redis_address
from undertow.adapters.feast_store import environment
from undertow.cli.main import main
from undertow.devstack.processes import LOCALHOST

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(60)]


@pytest.fixture
def silent(monkeypatch):
    """Its address; the kernel takes connections for it."""
    assert redis_address.WAITS["socket_timeout"] == 5
    monkeypatch.setitem(redis_address.WAITS, "socket_timeout", 0.2)
    with socket.create_server((LOCALHOST, 0)) as listening:
        yield f"{LOCALHOST}:{listening.getsockname()[1]}"


def test_get_and_check_name_the_address_and_no_secret(make_place, monkeypatch, silent):
    settings = make_place(partitions=1).settings
    monkeypatch.setenv("UNDERTOW_REDIS", f"{silent},password=hush")
    options = [
        f"--set={section}.{key}={value}"
        for section, values in settings.model_dump(exclude_unset=True).items()
        for key, value in values.items()
    ]
    for command in (["get", "pumps", "pump=p1"], ["check"]):
        result = CliRunner().invoke(main, [*command, *options])
        assert (result.exit_code, "hush" in result.output) == (1, False)
        (told,) = re.findall(rf"^(?:error|failed .*?): (.*{silent}.*)$", result.output, re.MULTILINE)
        assert "Timeout" in told


def test_feast_s_own_process_waits_no_longer_and_what_the_address_says_itself_stays(make_place, monkeypatch, silent):
    feast = make_place(partitions=1).settings.feast
    monkeypatch.setenv("UNDERTOW_REDIS", f"redis://:hush@{silent}/1")
    given = environment(feast)["UNDERTOW_REDIS"]
    assert given == f'{silent},db=1,password="hush",socket_timeout=0.2,socket_connect_timeout=5,retry=null'
    monkeypatch.setenv("UNDERTOW_REDIS", f"{silent},socket_timeout=60")
    assert environment(feast)["UNDERTOW_REDIS"] == f"{silent},socket_timeout=60,socket_connect_timeout=5,retry=null"
