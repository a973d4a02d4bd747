"""Is it flat? What a soak has seen, minute by minute, and what may be said of it.

In: one `Minute` for each. Out: verdicts. Knows neither fleet nor broker.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

WARM = 0.1
"""The first part of a soak does not count: allocators and caches fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What was seen in one minute, or whatever the soak looks at as one."""

    number: int
    windows: int
    p50_ms: float
    p99_ms: float
    lag: int
    replicas_mib: float
    """Resident memory of all replicas together."""
    controller_mib: float
    cpu_us: float
    """CPU of the replicas for each window."""
    yardstick_ms: float
    """CPU of a fixed computation, once a second, the mean: the less, the faster the machine's cores were."""
    files: int
    """Open file descriptors of the replicas."""
    threads: int
    parts: int
    """Files of the offline log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How much one quantity has grown, by its trend from the end of the warm-up to the end."""

    what: str
    begin: float
    """The trend's value at the end of the warm-up."""
    grown: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Whether it has not grown by more than is allowed."""
        return self.grown <= self.allowed


TOLERANCES: tuple[tuple[str, Callable[[Minute], float], float, float], ...] = (
    ("memory of the replicas, MiB", lambda minute: minute.replicas_mib, 0.03, 16.0),
    ("memory of the controller, MiB", lambda minute: minute.controller_mib, 0.03, 16.0),
    ("latency p50 at one speed, ms", lambda minute: minute.p50_ms, 0.25, 2.0),
    ("latency p99 at one speed, ms", lambda minute: minute.p99_ms, 0.25, 10.0),
    ("lag, windows", lambda minute: minute.lag, 0.25, 2_000.0),
    ("file descriptors", lambda minute: minute.files, 0.0, 4.0),
    ("threads", lambda minute: minute.threads, 0.0, 2.0),
)
"""What, and by which share of its beginning or by how much, whichever is more, it may grow."""


def judge(minutes: Sequence[Minute]) -> list[Verdict]:
    """Return how much each quantity has grown since the warm-up."""
    counted = minutes[min(len(minutes) - 1, max(1, round(WARM * len(minutes)))) :]
    usual_ms = statistics.median(minute.yardstick_ms for minute in counted)
    counted = [at_one_speed(minute, usual_ms) for minute in counted]
    verdicts = []
    for what, of, share, least in TOLERANCES:
        values = [of(minute) for minute in counted]
        slope = trend(values)
        grown = slope * (len(values) - 1)
        begin = statistics.median(value - slope * place for place, value in enumerate(values))
        verdicts.append(Verdict(what=what, begin=begin, grown=grown, allowed=max(share * begin, least)))
    return verdicts


def at_one_speed(minute: Minute, yardstick_ms: float) -> Minute:
    """Return what the latency would have been had the machine's cores been as fast as this yardstick says."""
    faster = yardstick_ms / minute.yardstick_ms
    return replace(minute, p50_ms=minute.p50_ms * faster, p99_ms=minute.p99_ms * faster)


def trend(values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs: a few bad minutes do not move it (Theil and Sen)."""
    slopes = [(values[b] - values[a]) / (b - a) for a, b in combinations(range(len(values)), 2)]
    return statistics.median(slopes) if slopes else 0.0
