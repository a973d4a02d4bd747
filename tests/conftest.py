"""Services and names that all tests share. Each is started at its first use, once, and is gone after the session.

Kafka and Redis come from packages (`undertow.devstack`), or from containers where UNDERTOW_TEST_KAFKA_IMAGE and
UNDERTOW_TEST_REDIS_IMAGE name images and a Docker engine answers (tests/containers/make_images.sh makes such images).
"""

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres_server import PostgresServer, binaries, postgres_server
from tests.s3_server import BUCKET, S3Server, binary, s3_server
from undertow.core.errors import Refused
from undertow.devstack.kafka import STOP_S as KAFKA_STOP_S
from undertow.devstack.kafka import KafkaServer, await_kafka, start_kafka
from undertow.devstack.processes import free_port, stop
from undertow.devstack.redis import STOP_S as REDIS_STOP_S
from undertow.devstack.redis import RedisServer, await_redis, start_redis
from undertow.storage.store_path import StorePath

KAFKA_IMAGE = "UNDERTOW_TEST_KAFKA_IMAGE"
REDIS_IMAGE = "UNDERTOW_TEST_REDIS_IMAGE"
NAMESPACE = "undertow-tests"

settings.register_profile("usual", deadline=None)  # no timing is asserted: machines are shared
settings.register_profile("long", settings.get_profile("usual"), max_examples=5000)  # make test-long
settings.load_profile("usual")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "expects_errors: the test makes our own loggers log errors, on purpose")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the S3 server before the first test, whose time it would take."""
    if not session.config.option.collectonly and any(item.get_closest_marker("s3") for item in session.items):
        binary()


# Services ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka, as `host:port`. Topics are not created on first use."""
    if os.environ.get(KAFKA_IMAGE):
        from tests.containers.services import image_to_use, kafka_container  # noqa: PLC0415 only where one is named

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
        stop(process, grace_seconds=KAFKA_STOP_S)
    shutil.rmtree(folder / "data")


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis, as `host:port`."""
    if os.environ.get(REDIS_IMAGE):
        from tests.containers.services import image_to_use, redis_container  # noqa: PLC0415 only where one is named

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
        stop(process, grace_seconds=REDIS_STOP_S)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3, with one bucket."""
    if isinstance(program := binary(), str):
        pytest.skip(program)
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres, with a database that has pgvector."""
    with _postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """The same, which a test may kill."""
    with _postgres() as server:
        yield server


@contextlib.contextmanager
def _postgres() -> Iterator[PostgresServer]:
    if isinstance(programs := binaries(), str):
        pytest.skip(programs)
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not under tmp_path, which only its owner may enter
    try:
        with postgres_server(folder) as server:
            with server.connect() as connection:
                connection.execute("CREATE EXTENSION vector")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
def store_root(s3: S3Server) -> StorePath:
    """A prefix in an object store, without any object."""
    return StorePath.parse(f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}", s3.options())


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


# What is logged ------------------------------------------------------------------------------------------------------


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Pytest's own, deaf to kafka-python: a client that an earlier test left behind warns from a thread of its own."""
    caplog.handler.addFilter(_is_not_of_kafka)
    return caplog


def _is_not_of_kafka(record: logging.LogRecord) -> bool:
    return not record.name.startswith("kafka.")


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
    collector, ours = Collector(), logging.getLogger("undertow")
    ours.addHandler(collector)
    yield
    ours.removeHandler(collector)
    if collector.lines and request.node.get_closest_marker("expects_errors") is None:
        pytest.fail(
            "errors were logged that nobody expected (mark expects_errors allows it):\n" + "\n".join(collector.lines)
        )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and an environment without settings."""
    for name in [name for name in os.environ if name.upper().startswith("UNDERTOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
