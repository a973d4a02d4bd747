"""What can go wrong: each kind breaks something of a world, and mends it.

In: a world. Out: signals, refusals, full disks. Knows nothing of when, and of what is checked afterwards.
"""

import os
import random
import signal
from dataclasses import dataclass
from typing import ClassVar, Self

import psutil

from tests.chaos.world import PATIENCE_S, World
from workers.core.failpoints import POINTS, arm, disarm


@dataclass(slots=True)
class Fault:
    """One fault. `break_it` and `mend_it` are called once each, in this order."""

    heals_itself: ClassVar[bool] = False
    """Whether recovery counts from the break: the fleet has to come over it, mended or not."""

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        del rng
        return cls()

    @property
    def kind(self) -> str:
        return (self.__doc__ or "").partition(".")[0]

    def break_it(self, world: World) -> None:
        raise NotImplementedError

    def mend_it(self, world: World) -> None:
        """Leave as it is: what was broken is replaced by the fleet itself."""


@dataclass(slots=True)
class ReplicaKilled(Fault):
    """kill -9 of a replica."""

    draws: float = 0.0
    heals_itself: ClassVar[bool] = True

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random())

    def break_it(self, world: World) -> None:
        os.kill(world.a_replica(self.draws), signal.SIGKILL)


@dataclass(slots=True)
class ReplicaStopped(ReplicaKilled):
    """SIGSTOP of a replica, SIGCONT later."""

    pid: int = 0

    def break_it(self, world: World) -> None:
        self.pid = world.a_replica(self.draws)
        os.kill(self.pid, signal.SIGSTOP)

    def mend_it(self, world: World) -> None:
        world.wake(self.pid)


@dataclass(slots=True)
class KilledAtPoint(Fault):
    """kill -9 of a replica at a step of its checkpoint."""

    point: str = "before_commit"
    count: int = 1
    heals_itself: ClassVar[bool] = True
    action: ClassVar[str] = "kill"

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(POINTS), rng.randint(1, 3))

    def break_it(self, world: World) -> None:
        arm(world.failpoints, self.point, self.action, self.count)
        world.until(lambda: [*world.failpoints.glob(f"{self.point}.*")], f"a replica at {self.point}")

    def mend_it(self, world: World) -> None:
        for claimed in world.failpoints.glob(f"{self.point}.*"):
            world.wake(int(claimed.suffix[1:]))
            claimed.unlink()


@dataclass(slots=True)
class StoppedAtPoint(KilledAtPoint):
    """SIGSTOP of a replica at a step of its checkpoint, SIGCONT later."""

    action: ClassVar[str] = "stop"


@dataclass(slots=True)
class ControllerKilled(Fault):
    """kill -9 of the controller."""

    heals_itself: ClassVar[bool] = True

    def break_it(self, world: World) -> None:
        del world
        ours = psutil.Process().children(recursive=True)
        (controller,) = [process for process in ours if "ray::ControllerActor" in " ".join(process.cmdline())]
        controller.kill()


@dataclass(slots=True)
class BrokerRestarted(Fault):
    """The broker stopped and started."""

    def break_it(self, world: World) -> None:
        world.stop_kafka()

    def mend_it(self, world: World) -> None:
        world.start_kafka()


@dataclass(slots=True)
class BrokerPaused(Fault):
    """SIGSTOP of the broker, SIGCONT later."""

    def break_it(self, world: World) -> None:
        os.kill(world.kafka_pid, signal.SIGSTOP)

    def mend_it(self, world: World) -> None:
        os.kill(world.kafka_pid, signal.SIGCONT)


@dataclass(slots=True)
class RedisRestarted(Fault):
    """Redis stopped and started with its data."""

    def break_it(self, world: World) -> None:
        world.stop_redis()

    def mend_it(self, world: World) -> None:
        world.start_redis()


@dataclass(slots=True)
class RedisFull(Fault):
    """Redis out of memory."""

    def break_it(self, world: World) -> None:
        world.redis.config_set("maxmemory", 1)

    def mend_it(self, world: World) -> None:
        world.redis.config_set("maxmemory", 0)


@dataclass(slots=True)
class RedisReadOnly(Fault):
    """Redis made the replica of nobody, so that it refuses writes."""

    def break_it(self, world: World) -> None:
        world.redis.config_set("replica-serve-stale-data", "yes")
        world.redis.replicaof("127.0.0.1", 1)

    def mend_it(self, world: World) -> None:
        world.redis.replicaof("NO", "ONE")


@dataclass(slots=True)
class DiskFull(Fault):
    """A full disk below the offline log."""

    def break_it(self, world: World) -> None:
        arm(world.failpoints, "before_write", "full")

    def mend_it(self, world: World) -> None:
        disarm(world.failpoints, "before_write")


@dataclass(slots=True)
class OffsetsMovedBack(Fault):
    """Committed offsets moved back to 0, and a replica killed that would have gone on."""

    heals_itself: ClassVar[bool] = True

    def break_it(self, world: World) -> None:
        world.commit_zero()
        os.kill(world.a_replica(0.0), signal.SIGKILL)


@dataclass(slots=True)
class Scaled(Fault):
    """Scaled up by one, and down again."""

    def break_it(self, world: World) -> None:
        world.fleet.scale(3, PATIENCE_S)

    def mend_it(self, world: World) -> None:
        world.fleet.scale(2, PATIENCE_S)


EVERY_KIND: tuple[type[Fault], ...] = (
    ReplicaKilled,
    ReplicaStopped,
    KilledAtPoint,
    StoppedAtPoint,
    ControllerKilled,
    BrokerRestarted,
    BrokerPaused,
    RedisRestarted,
    RedisFull,
    RedisReadOnly,
    DiskFull,
    OffsetsMovedBack,
    Scaled,
)
