"""Vectors over HTTP: by Feast's own feature server, for readers in other languages, and by the example of a service."""

import json
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from tests.reader.conftest import FIRST, JUNE, SECOND, ids
from undertow.devstack.processes import LOCALHOST, free_port

pytestmark = [pytest.mark.redis, pytest.mark.slow]

START_S = 120


def post(port, path, body):
    connection = HTTPConnection(LOCALHOST, port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def await_server(server, port):
    until = time.monotonic() + START_S
    while True:
        connection = HTTPConnection(LOCALHOST, port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)  # between two questions to a server that starts
        finally:
            connection.close()


@pytest.mark.parametrize("applied", ["redis"], indirect=True)
def test_a_vector_is_read_over_http_by_the_stable_name(world, tmp_path):
    world.write(FIRST, ("s08", JUNE, 1))
    port = free_port()
    command = [Path(sys.executable).with_name("feast"), "-c", world.repo, "serve", "-p", port]
    with (
        (tmp_path / "serve.log").open("wb") as log,
        subprocess.Popen([str(word) for word in command], stdout=log, stderr=log) as server,
    ):
        try:
            assert await_server(server, port) == 200
            rows = ids("s08", "nobody")
            entities = {name: [row[name] for row in rows] for name in rows[0]}
            status, said = post(port, "/get-online-features", {"feature_service": "har", "entities": entities})
        finally:
            server.terminate()
    assert status == 200
    hidden = said["results"][said["metadata"]["feature_names"].index("hidden")]["values"]
    assert np.allclose(hidden[0], [1.0, 1.1, 1.2])
    assert hidden[1] is None


SERVICE = Path(__file__).parents[2] / "docs/examples/reader_service.py"


def test_the_example_of_a_service_tells_what_is_old_missing_or_of_another_space(world, tmp_path):
    world.write(FIRST, ("s08", JUNE, 1))
    model, port = tmp_path / "model.json", free_port()
    model.write_text(json.dumps({"view": FIRST.view, "weights": [1, 0, 0, 0]}))
    command = [sys.executable, SERVICE, world.repo, "har", model, port]
    with (
        (tmp_path / "serve.log").open("wb") as log,
        subprocess.Popen([str(word) for word in command], stdout=log, stderr=log) as server,
    ):
        try:
            await_server(server, port)
            found = post(port, "/scores", ids("s08", "nobody"))
            refused = post(port, "/scores", ["s08"])
            world.say({"har": world.text(SECOND)})
            await_change(port)
        finally:
            server.terminate()
    assert found == (200, {"scores": [None, None], "status": ["old", "missing"]})
    assert refused[0] == 400


def await_change(port):
    """Ask until the service has looked again, within a second or so."""
    until = time.monotonic() + START_S
    while post(port, "/scores", ids("s08"))[0] != 409:
        assert time.monotonic() < until
