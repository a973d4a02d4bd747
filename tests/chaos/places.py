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
