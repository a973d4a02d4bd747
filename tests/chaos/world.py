"""What a chaos run breaks: a broker, a Redis, a Ray and a fleet of their own, and what finds their processes.

In: a folder. Out: a running `World`. Knows nothing of faults, nor of what is produced.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ray
import redis
import torch
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from tests.chaos.windows import COLUMNS, LENGTH
from workers.adapters.kafka_admin import ensure_topic
from workers.artifact.pack import pack
from workers.core.failpoints import FOLDER
from workers.devstack.kafka import STOP_S, KafkaServer, await_kafka, start_kafka
from workers.devstack.processes import Process, free_port, stop
from workers.devstack.redis import RedisServer, await_redis, start_redis
from workers.fleet.launch import Fleet, start
from workers.settings import Settings
from workers.wiring import StreamRecipe, apply_artifact, stream_recipe

T = TypeVar("T")
TESTS = Path(__file__).parents[1]
PARTITIONS, TOPIC = 4, "windows"
PATIENCE_S = 120.0
TOML = f"""
class = "seed.mlp:MLPForecaster"
weights = "mlp.pt"
[arguments]
columns = {len(COLUMNS)}
length = {LENGTH}
hidden_size = 8
[input]
columns = {list(COLUMNS)}
axes = "nf"
max_length = {LENGTH}
[series]
site = "string"
"""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that runs, and where it keeps what it writes."""

    settings: Settings
    recipe: StreamRecipe
    fleet: Fleet
    failpoints: Path
    redis: redis.Redis
    kafka_server: KafkaServer
    redis_server: RedisServer
    kafka_process: Process
    redis_process: Process

    @property
    def kafka_pid(self) -> int:
        return self.kafka_process.pid

    def stop_kafka(self) -> None:
        stop(self.kafka_process, grace_s=STOP_S)

    def start_kafka(self) -> None:
        self.kafka_process = start_kafka(self.kafka_server, leashed=True)
        await_kafka(self.kafka_server, self.kafka_process)

    def stop_redis(self) -> None:
        stop(self.redis_process, grace_s=STOP_S)

    def start_redis(self) -> None:
        self.redis_process = start_redis(self.redis_server, leashed=True)
        await_redis(self.redis_server, self.redis_process)

    def a_replica(self, draws: float) -> int:
        """Return the pid of a replica that reads; `draws` of [0, 1) chooses among them."""
        pids = self.until(
            lambda: sorted(one.pid for one in self.fleet.status().replicas if one.state == "running" and one.held),
            "a replica that reads",
        )
        return pids[int(draws * len(pids))]

    def is_whole(self) -> bool:
        """Whether all replicas run, the standby too, and every partition is read."""
        status = self.fleet.status()
        running = [one for one in status.replicas if one.state == "running"]
        held = sum(len(one.held) for one in running)
        return len(running) == len(status.replicas) == status.wanted + status.standbys and held == PARTITIONS

    def commit_zero(self) -> None:
        """Move the group's committed offsets back to the beginning."""
        kafka = self.settings.kafka
        consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=kafka.group, enable_auto_commit=False)
        partitions = [TopicPartition(TOPIC, index) for index in range(PARTITIONS)]
        consumer.assign(partitions)
        consumer.commit({each: OffsetAndMetadata(0, "", -1) for each in partitions})
        consumer.close()

    def wake(self, pid: int) -> None:
        """Continue a stopped process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def until(self, holds: Callable[[], T], what: str) -> T:
        """Look until it holds, and return what was found."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not (found := holds()):
            assert time.monotonic() < give_up_at, (
                f"waited {PATIENCE_S:.0f} s for {what}: {self.fleet.status().to_json()}"
            )
            time.sleep(0.05)
        return found


def make_artifact(folder: Path) -> Path:
    """Pack a multilayer perceptron with random weights: the same numbers at every call."""
    sys.path.insert(0, str(TESTS))
    from seed.mlp import MLPForecaster  # noqa: PLC0415 it needs the path

    torch.manual_seed(0)
    folder.mkdir()
    torch.save(MLPForecaster(len(COLUMNS), LENGTH, 8).state_dict(), folder / "mlp.pt")
    (folder / "mlp.toml").write_text(TOML.replace("'", '"'))
    pack(folder / "mlp.toml", folder / "artifact", name="sites", taps={"embedding": "hidden"}, code=["seed"])
    return folder / "artifact"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[World]:
    """Run a world for the time of a block; at its end the fleet drains, so that all it read is in both stores."""
    failpoints = folder / "failpoints"
    failpoints.mkdir(parents=True)
    kafka = KafkaServer(folder=folder / "kafka", port=free_port(), controller_port=free_port(), is_short_lived=True)
    store = RedisServer(folder=folder / "redis", port=free_port(), persist=True)
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    os.environ |= {FOLDER: str(failpoints), "UNDERTOW_REDIS": store.address, "PYTHONPATH": paths}
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    repo = folder / "feature_repo"
    shutil.copytree(TESTS.parent / "feature_repo", repo, ignore=shutil.ignore_patterns("data", "*.json"))
    settings = Settings(
        kafka={"bootstrap": kafka.address, "topic": TOPIC},
        model={"artifact": make_artifact(folder / "model"), "code": ["seed"]},
        feast={"repo": repo, "config": "feature_store.redis.yaml"},
        offline={"path": folder / "offline", "checkpoint_seconds": 0.5},
        fleet={"standbys": 1, "name": "chaos", "heartbeat_timeout_seconds": 3.0},
    )
    temporary = tempfile.mkdtemp(prefix="ray-")  # the socket's path may have 107 characters
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        redis_process, kafka_process = start_redis(store, leashed=True), start_kafka(kafka, leashed=True)
        await_redis(store, redis_process)
        await_kafka(kafka, kafka_process)
        ensure_topic(settings.kafka, TOPIC, partitions=PARTITIONS)
        apply_artifact(settings)
        recipe = stream_recipe(settings)
        ray.init(
            address="local",
            namespace="undertow",
            num_cpus=8,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=128 << 20,
            _temp_dir=temporary,
        )
        stack.callback(ray.shutdown)
        world = World(
            settings=settings,
            recipe=recipe,
            fleet=start(recipe),
            failpoints=failpoints,
            redis=redis.Redis(port=store.port),
            kafka_server=kafka,
            redis_server=store,
            kafka_process=kafka_process,
            redis_process=redis_process,
        )
        stack.callback(lambda: stop(world.kafka_process, grace_s=STOP_S))
        stack.callback(lambda: stop(world.redis_process, grace_s=STOP_S))
        world.until(world.is_whole, "all to run and to be read")
        yield world
