"""Containers of the tests: reached by the tests alone, told at once when they end, and gone with who started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = "UNDERTOW_TEST_REDIS_IMAGE"
needs_image = pytest.mark.skipif(
    not os.environ.get(NEEDED), reason=f"needs a Docker engine, and {NEEDED} (tests/containers/make_images.sh)"
)
START = """
import sys, time
from tests.containers.services import image_to_use, redis_container
with redis_container(image_to_use(sys.argv[1])) as address:
    print(address, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def engine():
    import docker  # noqa: PLC0415 only where there is an engine

    return docker.from_env()


def containers_at(engine, address):
    """Those that publish this port, with what they publish it at."""
    port = address.rpartition(":")[2]
    published = {
        one.id: [bound for bounds in one.attrs["NetworkSettings"]["Ports"].values() for bound in bounds or ()]
        for one in engine.containers.list(all=True)
    }
    return {one: bounds for one, bounds in published.items() if any(bound["HostPort"] == port for bound in bounds)}


@needs_image
def test_a_container_is_published_to_nobody_but_the_tests_and_goes_with_who_started_it_even_by_sigkill(engine):
    command = [sys.executable, "-c", START, NEEDED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as starter:
        address = starter.stdout.readline().strip()
        (bounds,) = containers_at(engine, address).values()
        assert {bound["HostIp"] for bound in bounds} == {address.rpartition(":")[0]}
        starter.send_signal(signal.SIGKILL)
    give_up_at = time.monotonic() + 60
    while containers_at(engine, address):
        assert time.monotonic() < give_up_at
        time.sleep(0.2)


@needs_image
def test_an_image_that_ends_at_once_is_told_at_once_with_its_log():
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 only where there is an engine

    from tests.containers.services import image_to_use, running  # noqa: PLC0415 likewise

    container = DockerContainer(image_to_use(NEEDED)).with_command("/bin/redis-server --no-such-option yes")
    told = pytest.raises(RuntimeError, match=r"(?s)was expected to answer, but it is exited.*no-such-option")
    with told, running(container, lambda: False):
        pass


def test_what_git_leaves_out_is_in_no_image_either():
    ignored, left_out = (
        {line.strip().strip("/") for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")} - {""}
        for name in (".gitignore", ".dockerignore")
    )
    assert {line for line in ignored if not {line, f"**/{line}"} & left_out} == set()
