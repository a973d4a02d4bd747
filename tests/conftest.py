"""Services and names that all tests share. Each is started at its first use, once, and is gone after the session.

Kafka and Redis come from packages (`workers.devstack`), or from containers where UNDERTOW_TEST_KAFKA_IMAGE and
UNDERTOW_TEST_REDIS_IMAGE name images and a Docker engine answers (tests/containers/make_images.sh makes such images).
"""

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from workers.core.errors import Refused
from workers.devstack.kafka import STOP_S as KAFKA_STOP_S
from workers.devstack.kafka import KafkaServer, await_kafka, cluster_id, properties, start_kafka
from workers.devstack.processes import LOCALHOST, free_port, stop
from workers.devstack.redis import STOP_S as REDIS_STOP_S
from workers.devstack.redis import RedisServer, await_redis, start_redis

KAFKA_IMAGE = "UNDERTOW_TEST_KAFKA_IMAGE"
REDIS_IMAGE = "UNDERTOW_TEST_REDIS_IMAGE"
NAMESPACE = "undertow-tests"

settings.register_profile("long", max_examples=5000)  # make test-long


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "expects_errors: the test makes our own loggers log errors, on purpose")


# Services ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka, as `host:port`. Topics are not created on first use."""
    if image := image_to_use(KAFKA_IMAGE):
        with kafka_container(image) as address:
            yield address
        return
    folder = tmp_path_factory.mktemp("kafka")
    server = KafkaServer(folder=folder, port=free_port(), controller_port=free_port(), is_short_lived=True)
    try:
        process = start_kafka(server, leashed=True)
    except Refused as missing:
        pytest.skip(str(missing))
    try:
        await_kafka(server, process)
        yield server.address
    finally:
        stop(process, grace_s=KAFKA_STOP_S)
    shutil.rmtree(folder / "data")


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis, as `host:port`."""
    if image := image_to_use(REDIS_IMAGE):
        with redis_container(image) as address:
            yield address
        return
    server = RedisServer(folder=tmp_path_factory.mktemp("redis"), port=free_port())
    try:
        process = start_redis(server, leashed=True)
    except Refused as missing:
        pytest.skip(str(missing))
    try:
        await_redis(server, process)
        yield server.address
    finally:
        stop(process, grace_s=REDIS_STOP_S)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests: a start costs seconds. A test ends the actors that it starts.

    Its 8 CPUs are bookkeeping, so that no test waits for another's actor.
    """
    # Without a token of its own Ray would write one into the developer's home.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # noqa: PLC0415 half a second, only for tests that use it

    folder = tempfile.mkdtemp(prefix="ray-")  # not under tmp_path: the socket's path may have 107 characters
    ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=128 << 20,
        _temp_dir=folder,
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


# Names that no other test uses ---------------------------------------------------------------------------------------


@pytest.fixture
def topic_name() -> str:
    """The name of a topic that does not exist yet."""
    return f"windows-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis_prefix() -> str:
    """A prefix for keys."""
    return f"test-{uuid.uuid4().hex[:12]}:"


@pytest.fixture
def feast_project() -> str:
    """A Feast project: the part of a Redis key that keeps tests apart."""
    return f"test_{uuid.uuid4().hex[:12]}"


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def memory_clock() -> ManualClock:
    """A clock for whatever takes one: call it to read, `advance(seconds)` to move it."""
    return ManualClock()


# Errors nobody expected ----------------------------------------------------------------------------------------------


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def no_unexpected_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which one of our loggers (`workers.*`) logged an error, unless it is marked `expects_errors`."""
    collector, ours = Collector(), logging.getLogger("workers")
    ours.addHandler(collector)
    yield
    ours.removeHandler(collector)
    if collector.lines and request.node.get_closest_marker("expects_errors") is None:
        pytest.fail(
            "errors were logged that nobody expected (mark expects_errors allows it):\n" + "\n".join(collector.lines)
        )


# Containers ----------------------------------------------------------------------------------------------------------


def image_to_use(variable: str) -> str | None:
    """Return the image that the environment names, None where packages are to be used instead."""
    image = os.environ.get(variable)
    if not image:
        return None
    import docker  # noqa: PLC0415 comes with testcontainers, only where an image is named

    try:
        engine = docker.from_env()
        try:
            engine.images.get(image)
        except docker.errors.ImageNotFound:
            engine.images.pull(image)
    except (docker.errors.DockerException, OSError) as error:
        warnings.warn(f"{variable}={image} cannot be used, packages are used instead: {error}", stacklevel=2)
        return None
    return image


@contextlib.contextmanager
def kafka_container(image: str) -> Iterator[str]:
    """Run an image that takes its configuration as `apache/kafka` does: KAFKA_NODE_ID is node.id, and so on."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 only where an image is named
    from testcontainers.core.waiting_utils import WaitStrategy, WaitStrategyTarget  # noqa: PLC0415 likewise

    # Clients are sent to the advertised port, so it must be the same inside and outside.
    inside = KafkaServer(folder=Path("/tmp/kafka"), port=free_port(), controller_port=9093)  # noqa: S108 the container's
    container = DockerContainer(image).with_bind_ports(inside.port, inside.port)
    address = f"{numeric(container.get_docker_client().host())}:{inside.port}"
    changes = {
        "listeners": f"PLAINTEXT://0.0.0.0:{inside.port},CONTROLLER://127.0.0.1:{inside.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}",
    }
    for key, value in (properties(inside) | changes).items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)

    class Answers(WaitStrategy):
        def wait_until_ready(self, container: WaitStrategyTarget) -> None:
            if not self._poll(lambda: cluster_id(address) is not None):
                stdout, stderr = container.get_logs()
                raise TimeoutError(f"Kafka in {image} did not answer: {(stdout + stderr)[-2000:].decode()}")

    with container.waiting_for(Answers()):
        yield address


@contextlib.contextmanager
def redis_container(image: str) -> Iterator[str]:
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 only where an image is named

    with RedisContainer(image) as container:
        yield f"{numeric(container.get_container_host_ip())}:{container.get_exposed_port(6379)}"


def numeric(host: str) -> str:
    """Spare clients the choice between IPv4 and IPv6 of this machine."""
    return LOCALHOST if host == "localhost" else host


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and an environment without settings."""
    for name in [name for name in os.environ if name.upper().startswith("UNDERTOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
