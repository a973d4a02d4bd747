"""Rejected rows of history: counted by reason, and listed one by one.

In: rows, reasons, details. Out: counts that add up, with the first as an example, and lines of JSON. Knows neither
embedders nor Kafka.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from undertow.backfill.chunks import Chunk
from undertow.schemas.wording import counted

RefusedRow = tuple[int, str, str]
"""The row within its chunk, a code of `undertow.schemas.records.REASONS`, and what was expected and found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectCounts:
    """Why rows were refused."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """By reason."""
    first: str = ""
    """Where the first of a chunk lies, and what is wrong with it."""

    @classmethod
    def of(cls, chunk: Chunk, refused: Sequence[RefusedRow]) -> "RejectCounts":
        """Sum up those of one chunk, which are in the order of its rows."""
        if not refused:
            return cls()
        row, _, detail = refused[0]
        first = f"row {chunk.first + row} of {chunk.path}: {detail}"
        return cls(counts=dict(Counter(reason for _, reason, _ in refused)), first=first)

    @property
    def total(self) -> int:
        """How many rows."""
        return sum(self.counts.values())

    def __add__(self, other: "RejectCounts") -> "RejectCounts":
        """Sum up both, with the example of the first of them."""
        counts = dict(Counter(self.counts) + Counter(other.counts))
        return RejectCounts(counts=counts, first=self.first or other.first)

    def __str__(self) -> str:
        """Say how many there are of each reason, the most frequent first, and show one."""
        counts = ", ".join(f"{reason} {count:,}" for reason, count in Counter(self.counts).most_common())
        return f"{counted(self.total, 'row')} refused ({counts}), for example {self.first}"


def no_window(why: str, refused: RejectCounts) -> str:
    """Say that no window could be made of observations: `why` of those that were taken, beside rows that were not."""
    others = f"{counted(refused.total, 'row')} refused, as said below; of the others the " if refused.total else ""
    return f"no window could be made: {others}{why}"


def lines_of(chunk: Chunk, refused: Sequence[RefusedRow]) -> bytes:
    """Return a line of JSON for each row: path, row within the file, reason and detail."""
    return b"".join(
        json.dumps({"path": chunk.path, "row": chunk.first + row, "reason": reason, "detail": detail}).encode() + b"\n"
        for row, reason, detail in refused
    )
