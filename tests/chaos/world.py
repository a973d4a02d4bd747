"""What a chaos run breaks: a broker, a Redis, an `undertow run` and a maintainer, and what finds their processes.

In: a folder. Out: a running `World`. Knows nothing of faults, nor of what is produced.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import redis

from tests.chaos.artifact import TESTS, make_artifact
from tests.chaos.broker import Broker
from tests.chaos.driver import Driver
from tests.chaos.maintainer import Maintainer
from tests.chaos.observations import SPEC
from tests.chaos.store import Store
from tests.s3_server import SECRET
from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.offline_root import view_folder
from undertow.devstack.kafka import STOP_S, KafkaServer, await_kafka, start_kafka
from undertow.devstack.processes import Process, free_port, stop
from undertow.devstack.redis import RedisServer, await_redis, start_redis
from undertow.fleet.status import FleetStatus
from undertow.settings.settings import Settings
from undertow.storage.store_path import StorePath
from undertow.stream.failpoints import FOLDER
from undertow.wiring.root import StreamRecipe, stream_recipe
from undertow.wiring.stores import apply_artifact

T = TypeVar("T")
LOOK_EVERY_S = 0.1
PARTITIONS, TOPIC = 4, "windows"
REPLICAS, STANDBYS = 2, 2
GIVE_UP_AFTER_S = 300.0
"""The machine may be slow: what takes longer than this is stuck."""
PACE = {"checkpoint_seconds": 0.5, "grace_seconds": 1.0, "maintain_seconds": 0.0, "snapshot_seconds": 2.0}
"""The maintainer is a process of its own here, for which failpoints are armed."""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that runs, and where it keeps what it writes."""

    folder: Path
    settings: Settings
    recipe: StreamRecipe
    driver: Driver
    broker: Broker
    failpoints: Path
    fold_points: Path
    """Where failpoints are armed for the maintainer, who passes some that replicas do."""
    redis: redis.Redis
    kafka_server: KafkaServer
    redis_server: RedisServer
    kafka_process: Process
    redis_process: Process
    store: Store | None = None
    """Of the log, where it lies in none of the folders."""
    observes: bool = False
    """Whether records hold observations."""
    send_fatal: Callable[[int, float], object] = field(init=False)
    """Sends to a partition a value of a series that lives on, and what closes its window. Of who produces."""
    emptied: int = 0
    """How often the online store has lost everything."""
    readers_wrong: int = 0
    """How often a reader of the history got rows that were not right, and no error."""
    maintainers: list[Maintainer] = field(default_factory=list)
    """All that were ever started."""
    maintainer: Maintainer = field(init=False)
    """The one that is to run all the time."""
    expected_version: int = 0
    """Of the table: that the maintainer is to have committed before the next fault."""

    @property
    def kafka_pid(self) -> int:
        return self.kafka_process.pid

    def stop_kafka(self) -> None:
        stop(self.kafka_process, grace_seconds=STOP_S)

    def start_kafka(self) -> None:
        self.kafka_process = start_kafka(self.kafka_server, leashed=True)
        await_kafka(self.kafka_server, self.kafka_process)

    def stop_redis(self) -> None:
        stop(self.redis_process, grace_seconds=STOP_S)

    def start_redis(self) -> None:
        self.redis_process = start_redis(self.redis_server, leashed=True)
        await_redis(self.redis_server, self.redis_process)

    def start_maintainer(self, *, is_hasty: bool = False) -> None:
        """Start the one that is to run all the time, in the place of one that has ended."""
        self.maintainer = self.new_maintainer(armed=self.fold_points, is_hasty=is_hasty)
        self.expect_fold()

    def new_maintainer(self, *, armed: Path | None = None, is_hasty: bool = False) -> Maintainer:
        """Start one more."""
        log = self.folder / f"maintain-{len(self.maintainers)}.log"
        one = Maintainer(self.folder, log, armed=armed, timeout_s=GIVE_UP_AFTER_S, is_hasty=is_hasty)
        self.maintainers.append(one)
        return one

    def close_maintainers(self) -> None:
        """End all of them."""
        for one in self.maintainers:
            one.kill()

    def expect_fold(self) -> None:
        """Let `has_folded` be true when the table is newer than now."""
        self.expected_version = self._table_version() + 1

    def has_folded(self) -> bool:
        """Whether somebody has folded since it was expected. Fails where the maintainer has ended."""
        assert self.maintainer.is_alive(), f"undertow maintain has ended: {self.maintainer.said()}"
        return self._table_version() >= self.expected_version

    def has_restored(self) -> bool:
        """Whether the online store has all again that it had lost; who drains leaves that to who comes next."""
        tallies = [self.redis.hgetall(key) for key in self.redis.scan_iter("undertow:{*}")]
        return bool(tallies) and all(one[b"claim"] == one.get(b"restored") for one in tallies)

    def _table_version(self) -> int:
        commits = (self.log_space() / "@table/_delta_log").glob("*.json")
        return max((int(path.stem) for path in commits), default=-1)

    def readers(self) -> list[int]:
        """Return the pids of the replicas that read, at least one."""
        return self.until(
            lambda: sorted(one.pid for one in self.driver.status().replicas if one.state == "running" and one.held),
            "a replica that reads",
        )

    def a_replica(self, draws: float) -> int:
        """Return the pid of a replica that reads; `draws` of [0, 1) chooses among them."""
        pids = self.readers()
        return pids[int(draws * len(pids))]

    def reader_of(self, partition: int) -> int | None:
        """Return the pid of the replica that reads a partition, None where none does just now."""
        replicas = self.driver.status().replicas
        return next((one.pid for one in replicas if partition in {held.index for held in one.held}), None)

    def controller(self) -> psutil.Process:
        """Return the controller's process."""
        return self.until(
            lambda: next((p for p in self.driver.family() if _title(p).startswith("ray::ControllerActor")), None),
            "a controller",
        )

    def is_ready(self) -> bool:
        """Whether every partition is read by as many replicas as are wanted, and another stands by."""
        return is_ready(self.driver.status(), self.broker.partitions)

    def log_root(self) -> Path:
        """Return the folder of the offline log; of a store, that of its bucket on the server."""
        root = self.settings.offline.path
        return self.store.bucket if self.store is not None else Path(str(root))

    def log_space(self) -> Path:
        """Return the folder of the offline log that holds the chains; of a store, where its server has the objects."""
        home = view_folder(self.settings.offline.path, self.recipe.artifacts[0].manifest.view())
        return self.store.on_disk(home) if self.store is not None and isinstance(home, StorePath) else home

    def has_chain(self, partition: int) -> bool:
        """Whether something of a partition is in the offline log."""
        return any((self.log_space() / TOPIC / str(partition)).glob("*.parquet"))

    def kill(self, pid: int) -> None:
        """Kill -9 a process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def stop(self, pid: int) -> None:
        """Stop a process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def wake(self, pid: int) -> None:
        """Continue a stopped process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def until(self, holds: Callable[[], T], what: str) -> T:
        """Look until it holds, and return what was found."""
        give_up_at = time.monotonic() + GIVE_UP_AFTER_S
        while not (found := holds()):
            assert time.monotonic() < give_up_at, (
                f"waited {GIVE_UP_AFTER_S:.0f} s for {what}: {self.driver.status().to_json()}"
            )
            time.sleep(LOOK_EVERY_S)
        return found


def is_ready(status: FleetStatus, partitions: int) -> bool:
    """Whether a fleet reads so many partitions by as many replicas as it wants, and has another to spare."""
    running = [one for one in status.replicas if one.state == "running"]
    readers = [one for one in running if one.held]
    held = sum(len(one.held) for one in readers)
    return held == partitions and len(readers) == status.wanted and len(running) > len(readers)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextlib.contextmanager
def running(folder: Path, *, in_store: bool = False, observes: bool = False) -> Iterator[World]:
    """Run a world for the time of a block; at its end the fleet drains, so that all it read is in both stores.

    With `in_store` the log lies in an object store; with `observes` records hold observations.
    """
    failpoints, fold_points = folder / "failpoints", folder / "fold_points"
    failpoints.mkdir(parents=True)
    fold_points.mkdir()
    kafka = KafkaServer(folder=folder / "kafka", port=free_port(), controller_port=free_port(), is_short_lived=True)
    store = RedisServer(folder=folder / "redis", port=free_port(), persist=True)
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    os.environ |= {FOLDER: str(failpoints), "UNDERTOW_REDIS": store.address, "PYTHONPATH": paths}
    # A socket's path may have 107 characters, of which Ray takes 70.
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder / "r")}
    log = Store(folder / "s3") if in_store else None
    if log is not None:
        log.server.start()
        os.environ["UNDERTOW_STORE__SECRET_ACCESS_KEY"] = SECRET
    repo = folder / "feature_repo"
    shutil.copytree(TESTS.parent / "feature_repo", repo, ignore=shutil.ignore_patterns("data", "*.json"))
    settings = Settings(
        kafka={
            "bootstrap": kafka.address,
            "topic": TOPIC,
            "max_unpacked_bytes": 4 << 20,
            **({"content": "observations"} if observes else {}),
        },
        **({"windows": SPEC} if observes else {}),
        model={"artifact": make_artifact(folder / "model"), "code": ("seed",), "max_embed_seconds": 3.0},
        feast={"repo": repo, "config": "feature_store.redis.yaml"},
        offline={"path": folder / "offline" if log is None else log.root, **PACE},
        **({} if log is None else {"store": log.settings()}),
        fleet={
            "replicas": REPLICAS,
            "standbys": STANDBYS,
            "name": "chaos",
            "heartbeat_timeout_seconds": 3.0,
            "look_for_partitions_seconds": 1.0,
        },
    )
    with contextlib.ExitStack() as stack:
        redis_process, kafka_process = start_redis(store, leashed=True), start_kafka(kafka, leashed=True)
        await_redis(store, redis_process)
        await_kafka(kafka, kafka_process)
        ensure_topic(settings.kafka, TOPIC, partitions=PARTITIONS)
        apply_artifact(settings)
        world = World(
            folder=folder,
            settings=settings,
            recipe=stream_recipe(settings),
            driver=Driver(settings, folder, GIVE_UP_AFTER_S),
            broker=Broker(settings.kafka, PARTITIONS),
            failpoints=failpoints,
            fold_points=fold_points,
            redis=redis.Redis(port=store.port),
            kafka_server=kafka,
            redis_server=store,
            kafka_process=kafka_process,
            redis_process=redis_process,
            store=log,
            observes=observes,
        )
        if log is not None:
            stack.callback(log.close)
        stack.callback(lambda: stop(world.kafka_process, grace_seconds=STOP_S))
        stack.callback(lambda: stop(world.redis_process, grace_seconds=STOP_S))
        stack.callback(world.driver.close)
        stack.callback(world.close_maintainers)
        world.driver.start()
        world.until(world.is_ready, "all to be read")
        world.start_maintainer()
        yield world
