"""What can go wrong with the broker, the stores and the disk, alone or while a replica dies.

In: a world. Out: signals, refusals, slow answers, full disks, deleted records. Knows nothing of when.
"""

import contextlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import ClassVar, Self

from redis import RedisError

from tests.chaos.faults import Fault
from tests.chaos.world import World
from undertow.stream.failpoints import arm, disarm

NAP_S, PAUSE_S = 0.2, 0.6


@dataclass(slots=True)
class BrokerRestarted(Fault):
    """The broker stopped and started."""

    row: ClassVar[str] = "WAITING"
    every: ClassVar[int] = 2
    longest_s: ClassVar[float] = 2.0

    def break_it(self, world: World) -> None:
        world.stop_kafka()

    def mend_it(self, world: World) -> None:
        world.start_kafka()


@dataclass(slots=True)
class BrokerPaused(Fault):
    """SIGSTOP of the broker, SIGCONT later."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        world.stop(world.kafka_pid)

    def mend_it(self, world: World) -> None:
        world.wake(world.kafka_pid)


@dataclass(slots=True)
class RedisRestarted(Fault):
    """Redis stopped and started with its data."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        world.stop_redis()

    def mend_it(self, world: World) -> None:
        world.start_redis()


@dataclass(slots=True)
class RedisFull(Fault):
    """Redis out of memory."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        world.redis.config_set("maxmemory", 1)

    def mend_it(self, world: World) -> None:
        world.redis.config_set("maxmemory", 0)


@dataclass(slots=True)
class RedisReadOnly(Fault):
    """Redis made the replica of nobody, so that it refuses writes."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        world.redis.config_set("replica-serve-stale-data", "yes")
        world.redis.replicaof("127.0.0.1", 1)

    def mend_it(self, world: World) -> None:
        world.redis.replicaof("NO", "ONE")


@dataclass(slots=True)
class RedisEmptied(Fault):
    """Redis emptied, its scripts as well."""

    heals_itself: ClassVar[bool] = True
    longest_s: ClassVar[float] = 0.0

    def break_it(self, world: World) -> None:
        world.emptied += 1  # before and after: what is read between may be of either
        world.redis.flushall()
        world.redis.script_flush()
        world.emptied += 1


@dataclass(slots=True)
class RedisSlow(Fault):
    """Redis slow: it sleeps between commands."""

    enough: threading.Event = field(default_factory=threading.Event, compare=False)

    def break_it(self, world: World) -> None:
        threading.Thread(target=self._slow_down, args=(world,), daemon=True).start()

    def mend_it(self, world: World) -> None:
        del world
        self.enough.set()

    def _slow_down(self, world: World) -> None:
        while not self.enough.is_set():
            with contextlib.suppress(RedisError):
                world.redis.execute_command("DEBUG", "SLEEP", NAP_S)


@dataclass(slots=True)
class DiskFull(Fault):
    """A full disk below the offline log."""

    row: ClassVar[str] = "WAITING"
    action: ClassVar[str] = "full"

    def break_it(self, world: World) -> None:
        arm(world.failpoints, "before_write", self.action, 3)

    def mend_it(self, world: World) -> None:
        disarm(world.failpoints, "before_write")


@dataclass(slots=True)
class DiskSlow(DiskFull):
    """A slow disk below the offline log."""

    row: ClassVar[str] = ""
    action: ClassVar[str] = "slow"


@dataclass(slots=True)
class LogAway(Fault):
    """The offline log's folder or bucket gone, as of a disk that is unmounted, and back."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        log = world.log_root()
        log.rename(log.with_name("offline-away"))

    def mend_it(self, world: World) -> None:
        log = world.log_root()
        log.with_name("offline-away").rename(log)  # fails where somebody has made it anew meanwhile and written to it


@dataclass(slots=True)
class RetentionOvertook(Fault):
    """Retention overtook a partition whose readers were stopped."""

    draws: float = 0.0
    heals_itself: ClassVar[bool] = True
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random())

    def break_it(self, world: World) -> None:
        partition = int(self.draws * world.broker.partitions)
        world.until(lambda: world.has_chain(partition), f"a checkpoint of partition {partition}")
        readers = world.readers()
        for pid in readers:
            world.stop(pid)
        time.sleep(PAUSE_S)  # so that there is something that nobody has read
        world.broker.delete_all(partition)
        for pid in readers:
            world.wake(pid)


@dataclass(slots=True)
class PartitionAdded(Fault):
    """A partition added to the topic."""

    heals_itself: ClassVar[bool] = True
    every: ClassVar[int] = 2
    at_most: ClassVar[int] = 4
    longest_s: ClassVar[float] = 0.0

    def break_it(self, world: World) -> None:
        world.broker.add_partitions(world.broker.partitions + 1)


@dataclass(slots=True)
class KilledMeanwhile(Fault):
    """kill -9 of a replica while the broker, Redis or the disk fails."""

    row: ClassVar[str] = "UNKNOWN"
    draws: float = 0.0
    condition: Fault = field(default_factory=BrokerPaused)

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        condition = rng.choice((BrokerPaused, RedisFull, RedisReadOnly, RedisSlow, DiskFull, DiskSlow))
        return cls(rng.random(), condition())

    def break_it(self, world: World) -> None:
        victim = world.a_replica(self.draws)
        self.condition.break_it(world)
        world.kill(victim)

    def mend_it(self, world: World) -> None:
        self.condition.mend_it(world)
