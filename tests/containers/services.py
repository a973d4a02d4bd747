"""Kafka and Redis in containers, for the session's fixtures: where images are named and a Docker engine answers.

What is started listens where the tests alone reach it, says at once that it has ended, and ends with the process that
started it, however that one does.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import docker
import redis
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from undertow.devstack.kafka import KafkaServer, cluster_id, properties
from undertow.devstack.processes import LOCALHOST, free_port

ANSWER_S = 120.0
REDIS_PORT = 6379
LEASH = Path(__file__).with_name("leash.py")


def image_to_use(variable: str) -> str | None:
    """Return the image that the environment names, None where packages are to be used instead."""
    image = os.environ.get(variable)
    if not image:
        return None
    try:
        engine = docker.from_env()
        _have(engine, image)
    except (docker.errors.DockerException, OSError) as error:
        warnings.warn(f"{variable}={image} cannot be used, packages are used instead: {error}", stacklevel=2)
        return None
    _do_without_reaper(engine)
    return image


def _have(engine: docker.DockerClient, image: str) -> None:
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        engine.images.pull(image)


def _do_without_reaper(engine: docker.DockerClient) -> None:
    """Turn testcontainers' reaper off where its image cannot be had: containers are leashed in any case."""
    if testcontainers_config.ryuk_disabled:
        return
    try:
        _have(engine, testcontainers_config.ryuk_image)
    except (docker.errors.DockerException, OSError) as error:
        testcontainers_config.ryuk_disabled = True
        message = (
            f"testcontainers' reaper ({testcontainers_config.ryuk_image}) is turned off, it cannot be had: {error}"
        )
        warnings.warn(message, stacklevel=3)


@contextlib.contextmanager
def kafka_container(image: str) -> Iterator[str]:
    """Run an image that takes its configuration as `apache/kafka` does: KAFKA_NODE_ID is node.id, and so on."""
    host, bind = meeting_place()
    # Clients are sent to the advertised port, so it must be the same inside and outside.
    inside = KafkaServer(folder=Path("/tmp/kafka"), port=free_port(), controller_port=9093)  # noqa: S108 the container's
    address = f"{host}:{inside.port}"
    changes = {
        "listeners": f"PLAINTEXT://0.0.0.0:{inside.port},CONTROLLER://127.0.0.1:{inside.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}",
    }
    container = DockerContainer(image)
    container.ports[inside.port] = (bind, inside.port)
    for key, value in (properties(inside) | changes).items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    with running(container, lambda: cluster_id(address) is not None):
        yield address


@contextlib.contextmanager
def redis_container(image: str) -> Iterator[str]:
    """Run an image whose server listens on Redis's usual port."""
    host, bind = meeting_place()
    port = free_port()
    container = DockerContainer(image)
    container.ports[REDIS_PORT] = (bind, port)

    def answers() -> bool:
        try:
            with redis.Redis(host=host, port=port, socket_timeout=5.0) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    with running(container, answers):
        yield f"{host}:{port}"


@contextlib.contextmanager
def running(container: DockerContainer, answers: Callable[[], bool], timeout_s: float = ANSWER_S) -> Iterator[None]:
    """Run a container until it is left; raise `RuntimeError` with the end of its log where it ends or stays silent."""
    with container:
        leash(container.get_wrapped_container().id)
        give_up_at = time.monotonic() + timeout_s
        while not answers():
            container.reload()
            if container.status in {"exited", "dead"} or time.monotonic() > give_up_at:
                log = b"".join(container.get_logs())[-2000:].decode(errors="replace")
                found = f"{container.image} was expected to answer, but it is {container.status}"
                message = f"{found}. The end of its log:\n{log}"
                raise RuntimeError(message)
            time.sleep(0.1)
        yield


def leash(container_id: str) -> None:
    """Let a process beside us remove the container when we are gone."""
    subprocess.Popen([sys.executable, str(LEASH), str(os.getpid()), container_id], start_new_session=True)


def meeting_place() -> tuple[str, str]:
    """Return where both we and a container's neighbours find a published port, and what address to publish it at.

    Beside the engine that is its loopback; in a container of its own, as jobs of CI are, the address that the engine's
    machine has on the network of containers. testcontainers says "localhost" there too.
    """
    elsewhere = testcontainers_config.tc_host_override or urlsplit(os.environ.get("DOCKER_HOST", "")).hostname
    if elsewhere:
        return elsewhere, "0.0.0.0"  # noqa: S104 its loopback is not ours
    network = docker.from_env().networks.get("bridge").attrs["IPAM"]["Config"][0]
    bridge = network.get("Gateway") or str(ip_network(network["Subnet"])[1])  # some engines leave the usual one unsaid
    address = LOCALHOST if _is_ours(bridge) else bridge
    return address, address


def _is_ours(address: str) -> bool:
    """Whether the address is one of this machine's, or container's."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
