"""Autoscaling: the number of replicas by lag and rates, as a pure function.

In: repeated measurements of what a fleet has read and of its lag. Out: a size, and why. Knows neither Ray nor Kafka.

By the settings of `fleet`, it should catch up within `catch_up_seconds` while it keeps up with new records. It grows at
once to the size needed when more has been needed for `scale_up_seconds`; it shrinks by one when fewer would suffice,
with `HEADROOM` to spare, for `scale_down_seconds`. A load that is not known changes nothing.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from undertow.fleet.status import ReplicaStatus
from undertow.settings.sections import FleetSettings

log = logging.getLogger(__name__)

HEADROOM = 1.2
"""A fleet shrinks only where the smaller one has this multiple of the capacity needed, or it would grow again."""
OVER_S = 5.0
"""Rates are measured over this time."""
WEIGHT = 0.3
"""Of the newest rate in the exponential moving average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of a fleet, in offsets and offsets per second."""

    lag: int
    arrival: float
    rate: float
    """The capacity of one replica: what it reads when it never waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDecision:
    """A size, its reason, and since when another has been needed: input to the next call."""

    size: int
    reason: str = "nothing measured yet"
    above_since: float | None = None
    below_since: float | None = None


def decide_size(
    fleet: FleetSettings, before: SizeDecision, load: Load | None, *, partitions: int, now: float
) -> SizeDecision:
    """Return the decision for the present load; a load of None, which could not be measured, changes nothing."""
    most = max(fleet.min_replicas, min(fleet.max_replicas, partitions))  # a replica without a partition reads nothing
    size = min(max(before.size, fleet.min_replicas), most)
    if load is None or load.rate <= 0:
        return SizeDecision(size=size, reason="held: no rate is known yet")
    needed = (load.lag / fleet.catch_up_seconds + load.arrival) / load.rate
    wanted = max(math.ceil(min(needed, most)), fleet.min_replicas)
    enough = max(math.ceil(min(needed * HEADROOM, most)), fleet.min_replicas)
    reason = f"{load.lag:,} behind, {load.arrival:,.0f}/s arrive, {load.rate:,.0f}/s a replica: {wanted} needed"
    if wanted > size:
        since = now if before.above_since is None else before.above_since
        if now - since >= fleet.scale_up_seconds:
            return SizeDecision(size=wanted, reason=reason)
        return SizeDecision(size=size, reason=reason, above_since=since)
    if enough < size:
        since = now if before.below_since is None else before.below_since
        if now - since >= fleet.scale_down_seconds:
            return SizeDecision(size=size - 1, reason=reason)
        return SizeDecision(size=size, reason=reason, below_since=since)
    return SizeDecision(size=size, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCounters:
    """The counters of a fleet at one moment."""

    at: float
    offsets: int
    """Offsets read from the source by all living replicas."""
    lag: int
    poll_s: float
    """Time that they spent polling, decoding included."""
    replicas: int
    """Number of replicas that read."""
    names: frozenset[str]


def take_reading(replicas: Iterable[ReplicaStatus], *, partitions: int, now: float) -> FleetCounters | None:
    """Sum over the fleet; None where some partition has no reader, so that its lag is not known."""
    readers = [one for one in replicas if one.lag]
    if len({partition for one in readers for partition in one.lag}) != partitions:
        return None
    return FleetCounters(
        at=now,
        offsets=sum(one.counts.offsets for one in readers),
        lag=sum(sum(one.lag.values()) for one in readers),
        poll_s=sum(one.counts.poll_s for one in readers),
        replicas=len(readers),
        names=frozenset(one.name for one in readers),
    )


@dataclass(frozen=True, slots=True)
class Meter:
    """Computes rates from readings; frozen, each `look` returns the next meter."""

    since: FleetCounters | None = None
    load: Load | None = None
    rate: float = 0.0

    def look(self, reading: FleetCounters | None) -> "Meter":
        """Add a reading. Where the replicas have changed since the last one, the load is not known."""
        if reading is None or self.since is None or reading.names != self.since.names:
            return Meter(reading, None, self.rate)
        elapsed = reading.at - self.since.at
        if elapsed < OVER_S:
            return self
        taken = reading.offsets - self.since.offsets
        busy_s = max(elapsed * reading.replicas - (reading.poll_s - self.since.poll_s), 0.0)
        rate = self.rate
        if min(reading.lag, self.since.lag) * OVER_S > taken:  # at least a second's work was waiting throughout
            newest = taken / elapsed / reading.replicas
            rate = newest if not rate else (1 - WEIGHT) * rate + WEIGHT * newest
        elif not rate and taken and busy_s > 0:  # never busy all the time: extrapolate from the busy share
            newest = taken / busy_s
            return Meter(reading, Load(lag=reading.lag, arrival=self._arrival(reading, taken), rate=newest), 0.0)
        load = Load(lag=reading.lag, arrival=self._arrival(reading, taken), rate=rate) if rate else None
        return replace(self, since=reading, load=load, rate=rate)

    def _arrival(self, reading: FleetCounters, taken: int) -> float:
        since = self.since or reading
        return max(0.0, (taken + reading.lag - since.lag) / max(reading.at - since.at, 1e-9))


class Autoscaler:
    """Decides again and again; keeps what is measured between two looks."""

    def __init__(self, fleet: FleetSettings, size: int) -> None:
        """Start with the present size."""
        self._fleet, self._meter, self._decision = fleet, Meter(), SizeDecision(size=size)

    @property
    def reason(self) -> str:
        """Why the size is what it is."""
        return self._decision.reason

    def look(self, replicas: Iterable[ReplicaStatus], *, size: int, partitions: int, now: float) -> int:
        """Return the size that the lag requires. `size` is the present one, set by anyone."""
        self._meter = self._meter.look(take_reading(replicas, partitions=partitions, now=now))
        before = replace(self._decision, size=size)
        self._decision = decide_size(self._fleet, before, self._meter.load, partitions=partitions, now=now)
        if self._decision.size != size:
            log.info("%d replicas instead of %d: %s", self._decision.size, size, self.reason)
        return self._decision.size
