"""Two maintainer processes fold one log while it is written to, and are killed: every row stays, once."""

import random
from collections import Counter

import pytest
from hypothesis import settings

from tests.chaos.history import look_back, open_snapshot, read_rows
from tests.history.fold_processes import LIMITS, MaintainerProcess
from tests.history.fold_world import JOB, P0, P1, World, places_of_rows, upto
from undertow.stream.failpoints import FOLD_POINTS, arm

ROUNDS = 300 if settings.get_current_profile_name() == "long" else 4
MOST_PARTS = 30
"""That are not folded and deleted yet. With more the writer waits, else it outruns maintainers on a busy machine."""


@pytest.fixture(scope="module")
def landed():
    """Count at which step kills have landed; printed at the end of all rounds."""
    steps = Counter()
    yield steps
    print("\n".join(f"{how}, last step passed {step}: {count}" for (how, step), count in sorted(steps.items())))


class Writer:
    """Whoever appends parts meanwhile."""

    def __init__(self, world, rng) -> None:
        self.world, self.rng, self.ends = world, rng, {P0: 0, P1: 0}
        self.chunks = [(0, 1)]
        world.backfill(0, 1)

    def append(self):
        if len(self.world.parts(P0)) + len(self.world.parts(P1)) + len(self.world.chunks()) > MOST_PARTS:
            return
        if self.rng.random() < 0.3:
            self.backfill()
        partition, count = self.rng.choice([P0, P1]), self.rng.randint(1, 3)
        if self.rng.random() < 0.1:
            self.world.log = self.world.owner()
        self.world.publish(partition, count)
        self.ends[partition] += count

    def backfill(self):
        """Publish a chunk, or one again, as an actor does that was presumed dead."""
        if self.rng.random() < 0.3:
            self.world.backfill(*self.rng.choice(self.chunks))
            return
        first = self.chunks[-1][1]
        self.chunks.append((first, first + self.rng.randint(1, 3)))
        self.world.backfill(*self.chunks[-1])

    @property
    def places(self):
        return upto(self.ends[P0], self.ends[P1]) + [(JOB, number) for number in range(self.chunks[-1][1])]


def places_of(world):
    """Every row's (partition, offset) as the independent reader finds it, sorted."""
    return places_of_rows(read_rows(open_snapshot(world.home)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_of_two_maintainers_one_is_killed_again_and_again_and_every_row_is_there_once(seed, tmp_path, landed):
    rng, armed = random.Random(seed), tmp_path / "failpoints"
    armed.mkdir()
    world = World(tmp_path / "log", lambda: 1e9)
    writer = Writer(world, rng)
    for _ in range(rng.randint(4, 12)):
        writer.append()
    other = MaintainerProcess(world.root)
    # All points in turn: four rounds meet each of them once.
    for point in (FOLD_POINTS[(2 * seed + turn) % len(FOLD_POINTS)] for turn in (0, 1)):
        arm(armed, point, "kill", rng.randint(1, 3))
        victim = MaintainerProcess(world.root, armed)
        while not victim.await_death(rng.uniform(0, 0.02)):
            writer.append()
        (claimed,) = armed.glob(f"{point}.*")
        claimed.unlink()
        landed["at a failpoint", victim.passed] += 1
        assert victim.passed == point
    victim = MaintainerProcess(world.root)
    for _ in range(rng.randint(1, 40)):
        assert not victim.await_death(rng.uniform(0, 0.02))
        writer.append()
    victim.kill()
    landed["at any moment", victim.passed] += 1
    faults = other.end()
    assert places_of(world) == world.places() == writer.places
    assert world.maintain(grace_seconds=LIMITS.grace_seconds).faults == ()
    assert places_of(world) == world.places() == writer.places
    assert look_back(world.home)[1] == 0
    # Of two one may find a part deleted, or the table being made, and says so; nothing that an operator has to mend.
    assert [fault for fault in faults if not fault.endswith("it will be tried again")] == []
