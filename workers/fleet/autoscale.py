"""How many replicas a fleet should have, by its lag: a pure function, and the rates it is given.

In: what a fleet has read and is behind, now and then. Out: a size, and why. Knows neither Ray nor Kafka.

A fleet should catch up within `catch_up_s` while it keeps up with what arrives. It grows when that has asked for more
for `up_delay_s`, at once to what is needed; it shrinks when less would do, with `HEADROOM` to spare, for
`down_delay_s`, by one. What is not known moves nothing.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from undertow.fleet.status import ReplicaStatus

log = logging.getLogger(__name__)

HEADROOM = 1.2
"""A fleet that shrinks must be able to take so many times of what it has to: or it would grow again at once."""
OVER_S = 5.0
"""Rates are looked at over so long."""
WEIGHT = 0.3
"""Of the newest rate in the one that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Within which limits a fleet changes its size, and how fast."""

    least: int
    most: int
    catch_up_s: float
    up_delay_s: float
    down_delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a fleet has to do. Offsets, and offsets a second."""

    lag: int
    arrival: float
    rate: float
    """What one replica reads when it never waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A size, why, and since when another one has been asked for: to be handed to the next call."""

    size: int
    reason: str = "nothing measured yet"
    above_since: float | None = None
    below_since: float | None = None


def decide(policy: Policy, before: Decision, load: Load | None, *, partitions: int, now: float) -> Decision:
    """Return what follows from the load of this moment; None is a load that could not be measured: all stays."""
    most = max(policy.least, min(policy.most, partitions))  # a replica without a partition is no help
    size = min(max(before.size, policy.least), most)
    if load is None or load.rate <= 0:
        return Decision(size=size, reason="held: no rate is known yet")
    needed = (load.lag / policy.catch_up_s + load.arrival) / load.rate
    wanted = max(math.ceil(min(needed, most)), policy.least)
    enough = max(math.ceil(min(needed * HEADROOM, most)), policy.least)
    reason = f"{load.lag:,} behind, {load.arrival:,.0f}/s arrive, {load.rate:,.0f}/s a replica: {wanted} needed"
    if wanted > size:
        since = now if before.above_since is None else before.above_since
        if now - since >= policy.up_delay_s:
            return Decision(size=wanted, reason=reason)
        return Decision(size=size, reason=reason, above_since=since)
    if enough < size:
        since = now if before.below_since is None else before.below_since
        if now - since >= policy.down_delay_s:
            return Decision(size=size - 1, reason=reason)
        return Decision(size=size, reason=reason, below_since=since)
    return Decision(size=size, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a fleet has done up to one moment."""

    at: float
    offsets: int
    """Taken from the source, by all replicas that live."""
    lag: int
    poll_s: float
    """Time that they have waited for records, decoding included."""
    replicas: int
    """That read."""
    names: frozenset[str]


def take_reading(replicas: Iterable[ReplicaStatus], *, partitions: int, now: float) -> Reading | None:
    """Sum the fleet up; None where some partition has no reader, so that its lag is not known."""
    readers = [one for one in replicas if one.lag]
    if len({partition for one in readers for partition in one.lag}) != partitions:
        return None
    return Reading(
        at=now,
        offsets=sum(one.offsets for one in readers),
        lag=sum(sum(one.lag.values()) for one in readers),
        poll_s=sum(one.poll_s for one in readers),
        replicas=len(readers),
        names=frozenset(one.name for one in readers),
    )


@dataclass(frozen=True, slots=True)
class Meter:
    """Rates from readings; frozen, each look returns the next one."""

    since: Reading | None = None
    load: Load | None = None
    rate: float = 0.0

    def look(self, reading: Reading | None) -> "Meter":
        """Take a reading in. Between fleets of other replicas nothing can be compared: the load is not known."""
        if reading is None or self.since is None or reading.names != self.since.names:
            return Meter(reading, None, self.rate)
        elapsed = reading.at - self.since.at
        if elapsed < OVER_S:
            return self
        taken = reading.offsets - self.since.offsets
        busy_s = max(elapsed * reading.replicas - (reading.poll_s - self.since.poll_s), 0.0)
        rate = self.rate
        if min(reading.lag, self.since.lag) * OVER_S > taken:  # never less than a second's work lay there
            newest = taken / elapsed / reading.replicas
            rate = newest if not rate else (1 - WEIGHT) * rate + WEIGHT * newest
        elif not rate and taken and busy_s > 0:  # never seen at work all the time: by the share of it
            newest = taken / busy_s
            return Meter(reading, Load(lag=reading.lag, arrival=self._arrival(reading, taken), rate=newest), 0.0)
        load = Load(lag=reading.lag, arrival=self._arrival(reading, taken), rate=rate) if rate else None
        return replace(self, since=reading, load=load, rate=rate)

    def _arrival(self, reading: Reading, taken: int) -> float:
        since = self.since or reading
        return max(0.0, (taken + reading.lag - since.lag) / max(reading.at - since.at, 1e-9))


class Autoscaler:
    """A policy, and what it needs to know from one look to the next."""

    def __init__(self, policy: Policy, size: int) -> None:
        """Begin with a size."""
        self._policy, self._meter, self._decision = policy, Meter(), Decision(size=size)

    @property
    def reason(self) -> str:
        """Why the size is what it is."""
        return self._decision.reason

    def look(self, replicas: Iterable[ReplicaStatus], *, size: int, partitions: int, now: float) -> int:
        """Return the size that the lag asks for. `size` is the present one, whoever has set it."""
        self._meter = self._meter.look(take_reading(replicas, partitions=partitions, now=now))
        before = replace(self._decision, size=size)
        self._decision = decide(self._policy, before, self._meter.load, partitions=partitions, now=now)
        if self._decision.size != size:
            log.info("%d replicas instead of %d: %s", self._decision.size, size, self.reason)
        return self._decision.size
