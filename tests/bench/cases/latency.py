"""From a record's append to its embedding readable, seen from outside, at shares of what the fleet keeps up with.

Begin and end are told in `load` and `watch`. One fleet serves all: first the most that it takes is found, which also
warms every cache, then each share of it.
"""

from dataclasses import dataclass

import numpy as np
from case import Given, answer
from fleet import running
from steady import most, waits_at

SHARES = (0.5, 0.9)
WARM_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """One share of the most."""

    share: float
    rate: float
    watched: int
    p50_ms: float
    p99_ms: float
    batch: float
    embed_ms: float
    write_ms: float
    cores: dict[str, float]
    """CPU of each process, in cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a fleet takes, and how long a window takes below that."""

    replicas: int
    most: float
    steady: list[Steady]


def run(given: Given) -> Latency:
    """Find the most, then load the fleet with shares of it."""
    steady = []
    with running(given) as fleet:
        rate, number = most(given, fleet, 0, warm_s=WARM_S, seconds=given.seconds / 2)
        for share in SHARES:
            waits = waits_at(given, fleet, number, rate=share * rate, seconds=given.seconds)
            number = waits.next
            p50, p99 = np.percentile(waits.ms, [50, 99]).tolist()
            steady.append(
                Steady(
                    share=share,
                    rate=share * rate,
                    watched=len(waits.ms),
                    p50_ms=p50,
                    p99_ms=p99,
                    batch=waits.batch,
                    embed_ms=waits.embed_ms,
                    write_ms=waits.write_ms,
                    cores=dict(waits.cores),
                )
            )
    return Latency(replicas=given.replicas, most=rate, steady=steady)


if __name__ == "__main__":
    answer(run)
