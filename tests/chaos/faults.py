"""What can go wrong with processes: each kind breaks something of a world, and mends it.

In: a world. Out: signals, orders. Knows nothing of when, and of what is checked afterwards.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

import psutil

from tests.chaos.world import REPLICAS, World
from undertow.stream.failpoints import POINTS, arm


@dataclass(slots=True)
class Fault:
    """One fault. `break_it` and `mend_it` are called once each, in this order."""

    row: ClassVar[str] = ""
    """The row of `undertow.stream.verdicts` that it plays, by its name, if any."""
    heals_itself: ClassVar[bool] = False
    """Whether recovery counts from the break: the fleet has to come over it, mended or not."""
    kills_a_reader: ClassVar[bool] = False
    """Whether it is a replica that dies of kill -9 while its controller lives: what a failover is measured by."""
    every: ClassVar[int] = 1
    """In which rounds it comes: in each, in every second, ..."""
    at_most: ClassVar[int | None] = None
    """How often it comes in a whole script."""
    longest_s: ClassVar[float] = 3.0
    """How long it may last until it is mended."""

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
    row: ClassVar[str] = "UNKNOWN"
    heals_itself: ClassVar[bool] = True
    kills_a_reader: ClassVar[bool] = True
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random())

    def break_it(self, world: World) -> None:
        world.kill(world.a_replica(self.draws))


@dataclass(slots=True)
class ReplicaStopped(ReplicaKilled):
    """SIGSTOP of a replica, SIGCONT later."""

    pid: int = 0
    row: ClassVar[str] = "OVERTAKEN"
    kills_a_reader: ClassVar[bool] = False
    longest_s: ClassVar[float] = 5.0  # longer than the heartbeat's 3 s: then it wakes beside its successor

    def break_it(self, world: World) -> None:
        self.pid = world.a_replica(self.draws)
        world.stop(self.pid)

    def mend_it(self, world: World) -> None:
        world.wake(self.pid)


@dataclass(slots=True)
class KilledAtPoint(Fault):
    """kill -9 of a replica at a step of its checkpoint."""

    point: str = "before_commit"
    count: int = 1
    row: ClassVar[str] = "UNKNOWN"
    heals_itself: ClassVar[bool] = True
    kills_a_reader: ClassVar[bool] = True
    action: ClassVar[str] = "kill"
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(POINTS), rng.randint(1, 2))

    def break_it(self, world: World) -> None:
        arm(world.failpoints, self.point, self.action, self.count)
        world.until(lambda: self._acted(world), f"a replica at {self.point}")

    def _acted(self, world: World) -> bool:
        """Whether a replica has acted; one that had claimed the point may have died before, of an earlier fault."""
        for claimed in world.failpoints.glob(f".{self.point}.*"):
            if not psutil.pid_exists(int(claimed.suffix[1:])):
                claimed.unlink()
                arm(world.failpoints, self.point, self.action, self.count)
        return any(world.failpoints.glob(f"{self.point}.*"))

    def mend_it(self, world: World) -> None:
        for claimed in world.failpoints.glob(f"{self.point}.*"):
            world.wake(int(claimed.suffix[1:]))
            claimed.unlink()


@dataclass(slots=True)
class StoppedAtPoint(KilledAtPoint):
    """SIGSTOP of a replica at a step of its checkpoint, SIGCONT later."""

    row: ClassVar[str] = "OVERTAKEN"
    action: ClassVar[str] = "stop"
    kills_a_reader: ClassVar[bool] = False
    longest_s: ClassVar[float] = 5.0


@dataclass(slots=True)
class OffsetsMovedBack(ReplicaKilled):
    """Committed offsets moved back to 0, and kill -9 of a replica that would have gone on."""

    def break_it(self, world: World) -> None:
        world.broker.commit_zero()
        world.kill(world.a_replica(self.draws))


@dataclass(slots=True)
class ControllerKilled(Fault):
    """kill -9 of the controller."""

    heals_itself: ClassVar[bool] = True
    longest_s: ClassVar[float] = 1.0

    def break_it(self, world: World) -> None:
        world.kill(world.controller().pid)


@dataclass(slots=True)
class ControllerAndReplicaKilled(ReplicaKilled):
    """kill -9 of the controller and a replica at once."""

    kills_a_reader: ClassVar[bool] = False

    def break_it(self, world: World) -> None:
        replica, controller = world.a_replica(self.draws), world.controller().pid
        world.kill(controller)
        world.kill(replica)


@dataclass(slots=True)
class DriverKilled(Fault):
    """kill -9 of `undertow run`, started again."""

    heals_itself: ClassVar[bool] = True
    every: ClassVar[int] = 4
    longest_s: ClassVar[float] = 0.0

    def break_it(self, world: World) -> None:
        world.driver.kill()
        world.driver.start()


@dataclass(slots=True)
class Scaled(Fault):
    """Scaled up by one, and down again."""

    def break_it(self, world: World) -> None:
        world.driver.ask("scale", REPLICAS + 1)

    def mend_it(self, world: World) -> None:
        world.driver.ask("scale", REPLICAS)
