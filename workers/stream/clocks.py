"""The wall clock and the monotonic clock of a process: one for points in time, one for durations.

In: the wall clock, which may be adjusted, and the monotonic one, which may not. Out: moments, spans, and by how much
the wall clock was adjusted. Knows nothing of what is timed.
"""

import time
from dataclasses import dataclass

from undertow.stream.events import TimeSpan
from undertow.stream.ports import Clock

STEP_S = 1.0
"""NTP slews a clock by less than this between two calls; more is a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """One moment, read from both clocks."""

    at: float
    """Seconds since the epoch."""
    ticks: float
    """Seconds of the monotonic clock."""


class Clocks:
    """Reads both. Any thread may; `step` is for one."""

    def __init__(self, wall: Clock = time.time, ticks: Clock = time.monotonic) -> None:
        """`wall` returns seconds since the epoch, `ticks` monotonic seconds."""
        self.wall, self.ticks = wall, ticks
        self._apart = wall() - ticks()

    def now(self) -> ClockReading:
        """Return this moment."""
        return ClockReading(at=self.wall(), ticks=self.ticks())

    def seconds(self, since: ClockReading) -> float:
        """Return the seconds elapsed since then, unaffected by changes of the wall clock."""
        return self.ticks() - since.ticks

    def span(self, since: ClockReading) -> TimeSpan:
        """Return the interval from then until now, in epoch seconds by the wall clock as it was then."""
        return since.at, since.at + self.seconds(since)

    def point(self, ticks: float) -> float:
        """Convert a reading of the monotonic clock to epoch seconds by the wall clock as it is now."""
        return self.wall() - (self.ticks() - ticks)

    def step(self) -> float:
        """Return by how many seconds the wall clock was stepped since the last call, 0.0 where it was not."""
        apart = self.wall() - self.ticks()
        stepped, self._apart = apart - self._apart, apart
        return stepped if abs(stepped) >= STEP_S else 0.0
