"""The two clocks of a process: one for points in time, one for how long something takes.

In: the wall clock, which may be set, and the monotonic one, which may not. Out: moments, spans, and by how much the
wall clock was set. Knows nothing of what is timed.
"""

import time
from dataclasses import dataclass

from undertow.stream.events import Span
from undertow.stream.ports import Clock

STEP_S = 1.0
"""NTP moves a clock gently by less than this between two looks; more is a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One moment by both clocks."""

    at: float
    """Seconds of the epoch."""
    ticks: float
    """Seconds of the monotonic clock."""


class Clocks:
    """Reads both. Any thread may; `step` is for one."""

    def __init__(self, wall: Clock = time.time, ticks: Clock = time.monotonic) -> None:
        """`wall` gives seconds since the epoch, `ticks` seconds that only ever grow."""
        self.wall, self.ticks = wall, ticks
        self._apart = wall() - ticks()

    def now(self) -> Moment:
        """Return this moment."""
        return Moment(at=self.wall(), ticks=self.ticks())

    def seconds(self, since: Moment) -> float:
        """Return how long ago that was, whatever the wall clock was set to meanwhile."""
        return self.ticks() - since.ticks

    def span(self, since: Moment) -> Span:
        """Return from then until now, in seconds of the epoch as the wall clock was then."""
        return since.at, since.at + self.seconds(since)

    def point(self, ticks: float) -> float:
        """Return in seconds of the epoch, as the wall clock is now, what the monotonic clock said."""
        return self.wall() - (self.ticks() - ticks)

    def step(self) -> float:
        """Return by how many seconds the wall clock was set since the last call, 0.0 where it was not."""
        apart = self.wall() - self.ticks()
        stepped, self._apart = apart - self._apart, apart
        return stepped if abs(stepped) >= STEP_S else 0.0
