"""What can go wrong with snapshots of observations: damaged, deleted, all gone, half written.

In: a world whose records hold observations. Out: other bytes, fewer files, signals. Knows nothing of when.
"""

import contextlib
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from tests.chaos.faults import Fault, KilledAtPoint, ReplicaKilled, StoppedAtPoint
from tests.chaos.world import TOPIC, World
from undertow.adapters.window_snapshots import FOLDER
from undertow.stream.failpoints import SNAPSHOT_POINTS

WAYS = ("flipped", "short", "empty", "other")


@dataclass(slots=True)
class SnapshotDamaged(ReplicaKilled):
    """The newest snapshots of a partition damaged, and kill -9 of who reads it."""

    ways: tuple[str, ...] = ("flipped",)
    """What is done to the newest one, and to the one before it."""

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random(), tuple(rng.choices(WAYS, k=rng.randint(1, 2))))

    def break_it(self, world: World) -> None:
        partition = int(self.draws * world.broker.partitions)
        world.until(lambda: _snapshots(world, partition), f"a snapshot of partition {partition}")
        reader = world.until(lambda: world.reader_of(partition), f"a reader of partition {partition}")
        world.stop(reader)  # so that it writes no other one meanwhile
        for path, way in zip(reversed(_snapshots(world, partition)), self.ways, strict=False):
            self._spoil(path, way)
        world.kill(reader)

    def _spoil(self, path: Path, way: str) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        spoiled = {"flipped": content, "short": content[: len(content) // 2], "empty": b"", "other": b"snapshot" * 9}
        path.write_bytes(spoiled[way])


@dataclass(slots=True)
class SnapshotDeleted(SnapshotDamaged):
    """The newest snapshots of a partition deleted, and kill -9 of who reads it."""

    def _spoil(self, path: Path, way: str) -> None:
        del way
        path.unlink()


@dataclass(slots=True)
class SnapshotsGone(ReplicaKilled):
    """All snapshots gone, and kill -9 of all who read."""

    every: ClassVar[int] = 2
    kills_a_reader: ClassVar[bool] = False

    def break_it(self, world: World) -> None:
        readers = world.readers()
        for pid in readers:
            world.stop(pid)
        with contextlib.suppress(FileNotFoundError):  # nobody has written any yet
            shutil.rmtree(world.log_space() / FOLDER)
        for pid in readers:
            world.kill(pid)


@dataclass(slots=True)
class RetentionOvertookWarming(SnapshotsGone):
    """Retention overtook who read a partition once more, all snapshots being gone."""

    after_s: float = 0.5

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random(), rng.uniform(0.0, 2.0))

    def break_it(self, world: World) -> None:
        partition = int(self.draws * world.broker.partitions)
        world.until(lambda: world.has_chain(partition), f"a checkpoint of partition {partition}")
        SnapshotsGone.break_it(self, world)
        time.sleep(self.after_s)
        world.broker.delete_all(partition)


@dataclass(slots=True)
class KilledInSnapshot(KilledAtPoint):
    """kill -9 of a replica while it writes a snapshot."""

    point: str = "after_snapshot"

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(SNAPSHOT_POINTS), rng.randint(1, 3))


@dataclass(slots=True)
class StoppedInSnapshot(StoppedAtPoint):
    """SIGSTOP of a replica while it writes a snapshot, SIGCONT later."""

    point: str = "after_snapshot"

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(SNAPSHOT_POINTS), rng.randint(1, 3))


def _snapshots(world: World, partition: int) -> list[Path]:
    """Return the snapshots of a partition, the oldest first."""
    return sorted((world.log_space() / FOLDER / TOPIC / str(partition)).glob("[0-9]*.arrow"))


SNAPSHOT_KINDS: tuple[type[Fault], ...] = (
    SnapshotDamaged,
    SnapshotDeleted,
    SnapshotsGone,
    RetentionOvertookWarming,
    KilledInSnapshot,
    StoppedInSnapshot,
)
