"""The counters of a backfill: each is a field here, and sums are `+`.

In: what an actor counts. Out: frozen sums, and the JSON by which they reach the driver. Knows neither Ray nor
embedders.
"""

import json
from dataclasses import asdict, dataclass, field, fields

from undertow.backfill.reject_counts import RejectCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestRun:
    """The most steps in a row of observations, up to the longest window; 0 where rows are windows."""

    steps: int = 0

    def __add__(self, other: "LongestRun") -> "LongestRun":
        """Return the longer of both."""
        return max(self, other, key=lambda run: run.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCounts:
    """The counters of one chunk, or of several. `ChunkCounts()` is zero."""

    windows: int = 0
    odd_times: int = 0
    """How many windows are before 1990 or after next year (`undertow.schemas.event_times`)."""
    rejects: RejectCounts = field(default_factory=RejectCounts)
    longest: LongestRun = field(default_factory=LongestRun)

    def __add__(self, other: "ChunkCounts") -> "ChunkCounts":
        """Return the sum of each field."""
        return ChunkCounts(
            **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(ChunkCounts)}
        )

    def to_json(self) -> str:
        """Return what `from_json` reads: actors hand it to the driver."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ChunkCounts":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        rejects, longest = RejectCounts(**values["rejects"]), LongestRun(**values["longest"])
        return cls(**{**values, "rejects": rejects, "longest": longest})
