"""What can go wrong with the object store that holds the log: slow, restarted, refusing, its replies lost.

In: a world whose log lies in a store. Out: signals, what becomes of requests. Knows nothing of when.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from tests.chaos.faults import Fault
from tests.chaos.store import Store, always
from tests.chaos.world import World


@dataclass(slots=True)
class StoreStopped(Fault):
    """SIGSTOP of the object store, SIGCONT later: requests wait, and some are given up."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        world.stop(_store(world).server.pid)

    def mend_it(self, world: World) -> None:
        world.wake(_store(world).server.pid)


@dataclass(slots=True)
class StoreRestarted(Fault):
    """kill -9 of the object store, started again."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        _store(world).server.kill()

    def mend_it(self, world: World) -> None:
        _store(world).server.start()


@dataclass(slots=True)
class StoreBusy(Fault):
    """The object store answers 503."""

    row: ClassVar[str] = "WAITING"

    def break_it(self, world: World) -> None:
        _store(world).fate = lambda: "busy"

    def mend_it(self, world: World) -> None:
        _store(world).fate = always


@dataclass(slots=True)
class StoreBusyForLong(StoreBusy):
    """The object store answers 503 for up to a minute."""

    every: ClassVar[int] = 4
    longest_s: ClassVar[float] = 60.0


@dataclass(slots=True)
class RepliesLost(StoreBusy):
    """The object store acts, and every second reply is lost."""

    heals_itself: ClassVar[bool] = True
    row: ClassVar[str] = ""
    seed: int = 0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.getrandbits(32))

    def break_it(self, world: World) -> None:
        rng = random.Random(self.seed)
        _store(world).fate = lambda: "lose" if rng.random() < 0.5 else "pass"


def _store(world: World) -> Store:
    assert world.store is not None, "a fault of a store needs a run with --store s3"
    return world.store


STORE_KINDS: tuple[type[Fault], ...] = (StoreStopped, StoreRestarted, StoreBusy, StoreBusyForLong, RepliesLost)
