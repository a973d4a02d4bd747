"""What can go wrong with the history's maintainer, and with who reads what it deletes.

In: a world. Out: signals, a second maintainer, one that vacuums at once. Knows nothing of when, and of what is checked
afterwards, but for what readers saw.
"""

import contextlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tests.chaos.faults import Fault
from tests.chaos.history import Snapshot, StaleError, open_snapshot
from tests.chaos.maintainer import Maintainer
from tests.chaos.world import World
from undertow.adapters.offline_history import with_parts
from undertow.core.errors import UndertowError
from undertow.stream.failpoints import FOLD_POINTS, arm

PLACE = ["origin_partition", "origin_offset", "created"]
Places = list[tuple[int, int, int]]


@dataclass(slots=True)
class MaintainerKilled(Fault):
    """kill -9 of the history's maintainer at a step of its fold."""

    point: str = "after_fold_commit"
    count: int = 1
    heals_itself: ClassVar[bool] = True
    action: ClassVar[str] = "kill"
    longest_s: ClassVar[float] = 2.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(FOLD_POINTS), rng.randint(1, 2))

    def break_it(self, world: World) -> None:
        arm(world.fold_points, self.point, self.action, self.count)
        world.until(lambda: any(world.fold_points.glob(f"{self.point}.*")), f"the maintainer at {self.point}")

    def mend_it(self, world: World) -> None:
        self._disarm(world)
        world.maintainer.kill()  # it is dead: forget it
        world.start_maintainer()

    def _disarm(self, world: World) -> None:
        (claimed,) = world.fold_points.glob(f"{self.point}.*")
        assert claimed.suffix == f".{world.maintainer.pid}"
        claimed.unlink()


@dataclass(slots=True)
class MaintainerStopped(MaintainerKilled):
    """SIGSTOP of the history's maintainer at a step of its fold, SIGCONT later."""

    is_beside: bool = False
    """Whether another does its work meanwhile."""
    other: Maintainer | None = None
    action: ClassVar[str] = "stop"
    longest_s: ClassVar[float] = 8.0  # another needs some seconds to begin

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.choice(FOLD_POINTS), rng.randint(1, 2), rng.random() < 0.7)

    def break_it(self, world: World) -> None:
        MaintainerKilled.break_it(self, world)
        if self.is_beside:
            self.other = world.new_maintainer()

    def mend_it(self, world: World) -> None:
        self._disarm(world)
        world.wake(world.maintainer.pid)
        if self.other is not None:
            self.other.end()
        world.expect_fold()


@dataclass(slots=True)
class MaintainersAtOnce(Fault):
    """Two maintainers at once, of which one may end by kill -9."""

    kills: bool = False
    other: Maintainer | None = None
    heals_itself: ClassVar[bool] = True
    longest_s: ClassVar[float] = 8.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random() < 0.5)

    def break_it(self, world: World) -> None:
        self.other = world.new_maintainer()
        world.until(self.other.said, "another maintainer to have gone through a run")

    def mend_it(self, world: World) -> None:
        assert self.other is not None
        if self.kills:
            self.other.kill()
        else:
            self.other.end()
        world.expect_fold()


@dataclass(slots=True)
class VacuumBesideReader(Fault):
    """Readers of the history while its maintainer merges and vacuums what they have listed."""

    heals_itself: ClassVar[bool] = True
    every: ClassVar[int] = 2
    longest_s: ClassVar[float] = 0.0

    def break_it(self, world: World) -> None:
        world.maintainer.end()
        world.start_maintainer(is_hasty=True)
        home = world.log_space()
        held, expected = world.until(lambda: _hold(home), "a version of the history that can be read")
        with held:
            # A reader that has opened its files, one that has only listed them, and the product's.
            listed = held.snapshot
            world.until(lambda: _is_any_gone(listed.table), "a file of the table to be vacuumed")
            world.readers_wrong += held.places() != expected
            world.readers_wrong += _reads_wrong(lambda: _places(listed.files), lambda found: found == expected)
        known = {*expected}
        world.readers_wrong += _reads_wrong(
            lambda: with_parts(home, _Late(world)), lambda found: len(found) == len({*found}) and known <= {*found}
        )

    def mend_it(self, world: World) -> None:
        world.maintainer.end()
        world.start_maintainer()


class _Held(contextlib.ExitStack):
    """The files of a version, opened."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self._files = [
            self.enter_context(pq.ParquetFile(self.enter_context(path.open("rb")))) for path in snapshot.files
        ]

    def places(self) -> Places:
        return _sorted(file.read(columns=PLACE) for file in self._files)


class _Late:
    """Reads what was listed when a file of the table is gone, at the first call."""

    def __init__(self, world: World) -> None:
        self._world, self._is_late = world, False

    def __call__(self, files: list[Path]) -> Places:
        if not self._is_late:
            self._is_late = True
            self._world.until(lambda: _is_any_gone(files), "a file that was listed to be gone")
        return _places(files)


def _hold(home: Path) -> tuple[_Held, Places] | None:
    """Open the history as it is now; None where a file went between, which is deleted a second after it was folded.

    None also where nothing was folded yet: then there is no file that could be vacuumed.
    """
    try:
        held = _Held(open_snapshot(home))
    except (StaleError, OSError):
        return None
    if not held.snapshot.table:
        held.close()
        return None
    return held, held.places()


def _reads_wrong(read: Callable[[], Places], is_right: Callable[[Places], bool]) -> bool:
    """Whether a reader got something that is not right; to fail is allowed."""
    try:
        return not is_right(read())
    except (UndertowError, OSError):
        return False


def _is_any_gone(files: Iterable[Path]) -> bool:
    return not all(path.exists() for path in files)


def _places(files: Iterable[Path]) -> Places:
    return _sorted(pq.read_table(path, columns=PLACE, partitioning=None) for path in files)


def _sorted(tables: Iterable[pa.Table]) -> Places:
    rows = pa.concat_tables(table.replace_schema_metadata() for table in tables)
    columns = (
        rows[name].cast(pa.int64()).fill_null(-1).to_pylist() for name in PLACE
    )  # of a backfill's rows: created alone
    return sorted(zip(*columns, strict=True))
