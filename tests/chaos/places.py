"""Where a record lies, and what a part of a chain tells of itself."""

from dataclasses import dataclass

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The footer of one part."""

    partition: int
    first: int
    next: int
    lost: int
    """Offsets that retention deleted before they were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What a fault has put into a partition that is no window."""

    partition: int
    first: int
    next: int
    skipped: bool
    """Whether it is passed over: then one dead letter stands for all of it, and its offsets are told as lost."""

    @property
    def places(self) -> frozenset[Place]:
        return frozenset((self.partition, offset) for offset in range(self.first, self.next))

    @property
    def letters(self) -> frozenset[Place]:
        return frozenset([(self.partition, self.first)]) if self.skipped else self.places
