"""`undertow run`: a fleet in the foreground, from its start to its drained end.

In: settings, a console. Out: the fleet's last status. Knows nothing of what the replicas do.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workers.cluster import announced, ray_session
from workers.core.errors import Refused
from workers.fleet.launch import Fleet, attach, start
from workers.fleet.show import line, table
from workers.fleet.status import FleetStatus
from workers.settings import Settings
from workers.wiring import stream_recipe

LOOK_EVERY_S = 0.5
RATE_OVER_S = 3.0


def run(settings: Settings, console: Console, *, drain_when_idle_s: float | None = None) -> FleetStatus:
    """Run a fleet until it is drained: by Ctrl-C, SIGTERM, SIGHUP, `undertow drain`, or when idle for so long.

    Where one with these settings runs already in the Ray that is joined, attach to it: the command that started it was
    killed, and the fleet has gone on.

    Raises `Refused` before anything is started where a part is missing, and at the end where the fleet failed.
    """
    recipe = stream_recipe(settings)
    session = ray_session(settings.fleet, replicas=settings.fleet.replicas + settings.fleet.standbys)
    with session, stop_signals() as stop:
        fleet = attach(recipe)
        if fleet is not None:
            console.print(f"attached to fleet {recipe.fleet!r}, which runs already; Ctrl-C drains it")
        else:
            fleet = start(recipe, force=settings.fleet.force)
        with announced(settings.fleet):
            status = watch(fleet, console, stop, drain_when_idle_s=drain_when_idle_s)
        fleet.remove()  # only at its end: a fleet that we merely stop watching needs its controller
    console.print(table(status))
    if status.state == "failed":
        raise Refused(status.message or "the fleet failed")
    return status


def watch(fleet: Fleet, console: Console, stop: threading.Event, *, drain_when_idle_s: float | None) -> FleetStatus:
    """Show the live line until the fleet has ended; pass a stop on as a drain."""
    seen: list[tuple[float, int]] = []
    idle_since = time.monotonic()
    status: FleetStatus | None = None
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            try:
                status, now = fleet.status(), time.monotonic()
            except Refused:
                if status is None or status.state != "draining":
                    raise
                return replace(status, state="drained", replicas=())  # another that watched it has cleared it away
            live.update(Text(line(status, _rate(seen, now, status.windows))))
            if status.state in {"drained", "failed"}:
                return status
            if status.lag != 0 or seen[0][1] != seen[-1][1]:
                idle_since = now
            idle = drain_when_idle_s is not None and now - idle_since >= drain_when_idle_s
            if (stop.is_set() or idle) and status.state != "draining":
                fleet.drain()
            stop.wait(LOOK_EVERY_S) if not stop.is_set() else time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into an event; the second Ctrl-C interrupts as usual."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it: the terminal may go
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rate(seen: list[tuple[float, int]], now: float, windows: int) -> float:
    """Return windows per second over the last looks, which `seen` keeps."""
    seen.append((now, windows))
    while seen[0][0] < now - RATE_OVER_S:
        del seen[0]
    (began, before), (ended, after) = seen[0], seen[-1]
    return (after - before) / (ended - began) if ended > began else 0.0
