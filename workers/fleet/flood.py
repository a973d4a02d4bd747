"""When a flood of rejects stops the fleet: a pure function over what was counted.

In: a limit, counts at several times. Out: why the fleet must stop, or None. Knows neither replicas nor Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodLimit:
    """Which share of the records may be refused, over how long."""

    max_ratio: float
    window_s: float
    min_records: int
    """Below so many records within the window no share says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a fleet had counted at one time; it only grows."""

    at: float
    records: int
    rejects: Mapping[str, int]


def keep(seen: Sequence[Counted], now: Counted, window_s: float) -> list[Counted]:
    """Return what is needed to look back over the window from now: the newest that is as old as it, and all later."""
    before = [one for one in seen if one.at <= now.at - window_s]
    return [*before[-1:], *(one for one in seen if one.at > now.at - window_s), now]


def flood(limit: FloodLimit, seen: Sequence[Counted]) -> str | None:
    """Say what stands against going on, where more was refused between the first and the last than the limit allows."""
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
