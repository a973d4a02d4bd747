"""The live part: the fleet embeds what the producer plays, and the reader tells what it makes of it.

In: settings, readings and the windows that they hold, a reader. Out: what was seen, when all of it was. Knows no model.
"""

import time
from collections import deque
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from undertow.core.errors import Refused
from undertow.demo.follow import DemoReader, Followed
from undertow.demo.produce import EntityKey, Playing
from undertow.demo.table import live_line
from undertow.demo.watch import Labelled
from undertow.fleet.handle import Fleet
from undertow.fleet.launch import start
from undertow.fleet.status import FleetStatus
from undertow.ray_session.session import ray_session
from undertow.schemas.windows import WindowBatch
from undertow.settings.settings import Settings
from undertow.wiring.root import stream_recipe

LOOK_EVERY_S = 0.25
RATE_OVER_S = 3.0
START_S = 120.0
CATCH_UP_S = 60.0
DRAIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What a stream came to."""

    status: FleetStatus
    followed: Followed
    per_second: float
    """Windows over the time from the first sent to the last read."""

    def summary(self) -> str:
        """Say it in one line."""
        return live_line(
            windows=self.status.counts.windows,
            total=self.status.counts.windows,
            per_second=self.per_second,
            lag=self.status.lag,
            rejects=sum(self.status.counts.rejects.values()),
            p50_ms=self.followed.latency_ms(0.5),
            p99_ms=self.followed.latency_ms(0.99),
            accuracy=self.followed.accuracy,
        )


def stream(
    settings: Settings, unseen: Labelled, reader: DemoReader, console: Console, *, per_second: float
) -> Streamed:
    """Play all readings through a fleet; return when the newest window of each series was read and it has drained."""
    recipe = stream_recipe(settings)
    with ray_session(settings.fleet, replicas=settings.fleet.replicas):
        fleet = start(recipe)
        try:
            with console.status("replicas load the model, the reader trains its classifier"):
                _await_running(fleet)
                reader.await_ready()
            playing = Playing(settings.kafka, unseen.readings, per_second=per_second)
            try:
                followed = Followed(playing.sent)
                reader.tell(followed)
                seconds = _watch(fleet, playing, followed, reader, unseen.windows, console)
            finally:
                playing.stop()
            status = fleet.drain_and_wait(DRAIN_S)
        finally:
            fleet.remove()
    return Streamed(status=status, followed=followed, per_second=len(unseen.windows) / seconds)


def last_events(windows: WindowBatch) -> dict[EntityKey, int]:
    """Return the newest event time of each series."""
    last: dict[EntityKey, int] = {}
    ids = (column.tolist() for column in windows.series.values())
    for *key, end_us in zip(*ids, windows.end_us.tolist(), strict=True):
        series = tuple(key)
        last[series] = max(end_us, last.get(series, end_us))
    return last


def _await_running(fleet: Fleet) -> None:
    give_up_at = time.monotonic() + START_S
    while (status := fleet.status()).lag is None:
        if status.state == "failed" or time.monotonic() > give_up_at:
            message = f"the fleet did not start in {START_S:.0f} s; it is {status.state}: {status.message}"
            raise Refused(message)
        time.sleep(LOOK_EVERY_S)


def _watch(
    fleet: Fleet, playing: Playing, followed: Followed, reader: DemoReader, windows: WindowBatch, console: Console
) -> float:
    """Show the live line until all is read; return the seconds that it took."""
    last = last_events(windows)
    began = time.monotonic()
    over_at: float | None = None
    seen: deque[tuple[float, int]] = deque()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while followed.newest != last:
            now, status = time.monotonic(), fleet.status()
            if status.state == "failed":
                raise Refused(status.message or "the fleet failed")
            reader.check()
            if playing.is_over and over_at is None:
                over_at = now
            if over_at is not None and now > over_at + CATCH_UP_S:
                message = f"the newest windows are not readable {CATCH_UP_S:.0f} s after their end: {status.message}"
                raise Refused(message)
            live.update(Text(_line(status, followed, len(windows), _rate(seen, now, status.counts.windows))))
            time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began


def _line(status: FleetStatus, followed: Followed, total: int, per_second: float) -> str:
    return live_line(
        windows=status.counts.windows,
        total=total,
        per_second=per_second,
        lag=status.lag,
        rejects=sum(status.counts.rejects.values()),
        p50_ms=followed.latency_ms(0.5),
        p99_ms=followed.latency_ms(0.99),
        accuracy=followed.accuracy,
    )


def _rate(seen: deque[tuple[float, int]], now: float, windows: int) -> float:
    """Return windows per second over the last looks, which `seen` keeps."""
    seen.append((now, windows))
    while seen[0][0] < now - RATE_OVER_S:
        seen.popleft()
    (began, before), (ended, after) = seen[0], seen[-1]
    return (after - before) / (ended - began) if ended > began else 0.0
