"""The topic deleted and made anew under a fleet that reads it, while producers are quick.

In: a world. Out: another topic of the same name, a fleet that was started again as it asks for. Knows nothing of what
is checked afterwards.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from tests.chaos.faults import Fault
from tests.chaos.places import Lane
from tests.chaos.world import PARTITIONS, TOPIC, World
from undertow.adapters.offline_names import part_names
from undertow.adapters.offline_parts import read_footer

HURRY_S = 3.0
"""So long producers write as fast as they can: the new topic is to reach beyond where the old one was read to."""


@dataclass(slots=True)
class TopicMadeAnew(Fault):
    """The topic deleted and made anew, while producers write."""

    partitions: int = PARTITIONS
    kills: bool = False
    """Whether a replica dies of kill -9 at the same moment."""
    draws: float = 0.0
    row: ClassVar[str] = "LASTING"
    heals_itself: ClassVar[bool] = True
    every: ClassVar[int] = 4
    at_most: ClassVar[int] = 4
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.randint(PARTITIONS - 1, PARTITIONS + 2), rng.random() < 0.5, rng.random())

    def break_it(self, world: World) -> None:
        partition = int(self.draws * world.broker.partitions)
        world.until(lambda: world.has_chain(partition), f"a checkpoint of partition {partition}")
        victim = world.a_replica(self.draws)
        world.broker.make_anew(self.partitions, lambda: _chain_ends(world), HURRY_S)
        if self.kills:
            world.kill(victim)

    def mend_it(self, world: World) -> None:
        """Wait until the fleet has ended; who asks it then starts it again, and does what it says before it ends."""
        said = world.driver.end()
        assert "made anew" in said, said
        world.until(world.is_ready, "the new topic to be read")


def _chain_ends(world: World) -> dict[Lane, int]:
    """Return where the chains of the topic end, of those that were begun."""
    ends: dict[Lane, int] = {}
    for folder in (world.log_space() / TOPIC).glob("*"):
        if names := part_names(folder):
            footer = read_footer(folder / names[-1])
            ends[Lane(footer.partition.index, world.broker.generation)] = footer.next
    return ends
