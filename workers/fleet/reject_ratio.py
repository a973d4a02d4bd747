"""Stop the fleet when its reject ratio exceeds a limit: a pure function over counters.

In: a fleet's settings, counters at several times. Out: why the fleet must stop, or None. Knows neither replicas nor
Kafka.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from undertow.settings.sections import FleetSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectSample:
    """A fleet's counters at one time; they only grow."""

    at: float
    records: int
    rejects: Mapping[str, int]


def keep(seen: Sequence[RejectSample], now: RejectSample, reject_window_seconds: float) -> list[RejectSample]:
    """Return the samples needed for the window that ends now: the newest that is as old as it, and all later ones."""
    before = [one for one in seen if one.at <= now.at - reject_window_seconds]
    return [*before[-1:], *(one for one in seen if one.at > now.at - reject_window_seconds), now]


def too_many_rejects(fleet: FleetSettings, seen: Sequence[RejectSample]) -> str | None:
    """Return why to stop, where the reject ratio between the first and the last sample exceeds the limit; else None."""
    if (limit := fleet.max_reject_ratio) is None:
        return None
    first, last = seen[0], seen[-1]
    records = last.records - first.records
    grown = {reason: count - first.rejects.get(reason, 0) for reason, count in last.rejects.items()}
    rejects = sum(grown.values())
    if records < fleet.reject_window_records or rejects <= limit * records:
        return None
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(grown.items(), key=lambda one: -one[1]) if n)
    return (
        f"{rejects:,} of the last {records:,} records were refused ({reasons}), more than fleet.max_reject_ratio = "
        f"{limit} allows"
    )
