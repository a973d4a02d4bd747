"""Where a record lies, and what a part of a chain tells of itself.

A topic that is deleted and made anew has offsets that begin again, so a place has the number of the topic as well: its
generation, counted from 0.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Lane(NamedTuple):
    """One partition of one generation of the topic."""

    partition: int
    generation: int = 0


class Place(NamedTuple):
    """Where one record lies, or lay."""

    partition: int
    offset: int
    generation: int = 0

    @property
    def lane(self) -> Lane:
        return Lane(self.partition, self.generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The footer of one part."""

    partition: int
    generation: int = 0
    first: int
    next: int
    lost: int
    """Offsets that retention deleted before they were read."""

    @property
    def lane(self) -> Lane:
        return Lane(self.partition, self.generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What a fault has put into a partition that is no window."""

    partition: int
    generation: int = 0
    first: int
    next: int
    skipped: bool
    """Whether it is passed over: then one dead letter stands for all of it, and its offsets are told as lost."""

    @property
    def places(self) -> frozenset[Place]:
        return frozenset(Place(self.partition, offset, self.generation) for offset in range(self.first, self.next))

    @property
    def letters(self) -> frozenset[Place]:
        return frozenset([Place(self.partition, self.first, self.generation)]) if self.skipped else self.places
