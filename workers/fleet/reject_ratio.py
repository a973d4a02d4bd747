"""Stop the fleet when its reject ratio exceeds a limit: a pure function over counters.

In: a limit, counters at several times. Out: why the fleet must stop, or None. Knows neither replicas nor Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimit:
    """The highest reject ratio that is accepted, and over which window."""

    max_ratio: float
    window_s: float
    min_records: int
    """With fewer records in the window the ratio means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectSample:
    """A fleet's counters at one time; they only grow."""

    at: float
    records: int
    rejects: Mapping[str, int]


def keep(seen: Sequence[RejectSample], now: RejectSample, window_s: float) -> list[RejectSample]:
    """Return the samples needed for the window that ends now: the newest that is as old as it, and all later ones."""
    before = [one for one in seen if one.at <= now.at - window_s]
    return [*before[-1:], *(one for one in seen if one.at > now.at - window_s), now]


def too_many_rejects(limit: RejectLimit, seen: Sequence[RejectSample]) -> str | None:
    """Return why to stop, where the reject ratio between the first and the last sample exceeds the limit; else None."""
    first, last = seen[0], seen[-1]
    records = last.records - first.records
    grown = {reason: count - first.rejects.get(reason, 0) for reason, count in last.rejects.items()}
    rejects = sum(grown.values())
    if records < limit.min_records or rejects <= limit.max_ratio * records:
        return None
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(grown.items(), key=lambda one: -one[1]) if n)
    return (
        f"{rejects:,} of the last {records:,} records were refused ({reasons}), more than fleet.max_reject_ratio = "
        f"{limit.max_ratio} allows"
    )
