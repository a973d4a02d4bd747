"""`undertow run`: a fleet in the foreground, from its start to its drained end.

In: settings, a console. Out: the fleet's last status. Knows nothing of what the replicas do.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import ray
from rich.console import Console
from rich.live import Live
from rich.text import Text

from undertow.core.errors import Refused, Unavailable
from undertow.core.stop_signals import Stop, stop_signals
from undertow.fleet.handle import Fleet
from undertow.fleet.last_known_lag import LastKnownLag
from undertow.fleet.launch import attach, start
from undertow.fleet.show import event, line, table
from undertow.fleet.status import FleetStatus
from undertow.ray_session.names import announced, name_taken
from undertow.ray_session.session import ray_session
from undertow.settings.settings import Settings
from undertow.telemetry.logs import Format, Line, json_line
from undertow.wiring.root import stream_recipe
from undertow.wiring.stores import publish_served

LOOK_EVERY_S, LOOK_AGAIN_S = 0.5, 2.0
T = TypeVar("T")
GOOD_ENDINGS = frozenset({"recovered", "taken-over", "maintained-again"})
"""Events that end what a warning reported before."""


class ControllerPoll:
    """Polls the controller. While it is late, a stop sends the order to drain, which it will get when it is back."""

    def __init__(self, fleet: Fleet, stop: Stop) -> None:
        """Start without an order."""
        self._fleet, self._stop, self._has_ordered = fleet, stop, False

    def look(self) -> FleetStatus | Unavailable:
        """Return the status, or the error that the controller is late. Raises it where it is late after the order."""
        try:
            status = self._fleet.status(stops=lambda: self._stop.is_set() and not self._has_ordered)
        except Unavailable as error:
            if self._has_ordered:
                raise Unavailable(_still_late(self._fleet.name, error)) from error
            if self._stop.is_set():
                self._fleet.drain()
                self._has_ordered = True
            return error
        self._has_ordered = False
        return status


def run(settings: Settings, console: Console, *, drain_when_idle_s: float | None = None) -> FleetStatus:
    """Run a fleet until it is drained: by Ctrl-C, SIGTERM, SIGHUP, `undertow drain`, or when idle for so long.

    Where one with these settings runs already in the connected Ray cluster, attach to it: the command that started it
    was killed, and the fleet has continued.

    Waits for an unavailable store. Raises `Refused` before anything is started where a part is missing, and at the end
    where the fleet failed.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(name_taken(settings.fleet))
        recipe = once_ready(lambda: stream_recipe(settings), lambda text: console.print(Text(text)))
        once_ready(lambda: publish_served(settings.feast), lambda text: console.print(Text(text)))
        stack.enter_context(ray_session(settings.fleet, replicas=settings.fleet.replicas + settings.fleet.standbys))
        stop = stack.enter_context(stop_signals())
        fleet = attach(recipe, stop.is_set)
        if fleet is not None:
            console.print(f"attached to fleet {recipe.fleet.name!r}, which runs already; Ctrl-C drains it")
        else:
            fleet = start(recipe, force=settings.fleet.force, stops=stop.is_set)
        with announced(settings.fleet, ray.get_runtime_context().gcs_address):
            status = watch(fleet, console, stop, drain_when_idle_s=drain_when_idle_s, log_format=settings.log_format)
        fleet.remove()  # only at its end: a fleet that we only stop watching needs its controller
    console.print(Text(line(status)), table(status, time.time(), console.width), sep="\n")
    if status.state == "failed":
        raise Refused(status.message or "the fleet failed")
    return status


def once_ready(
    look_up: Callable[[], T], say: Callable[[str], object], wait: Callable[[float], object] = time.sleep
) -> T:
    """Return the result of the lookup once the stores are available; meanwhile print each error once.

    Not by `stream.retry`, which tells of one operation once a minute: here one lookup asks several stores, and a person
    is told of the next one at once.
    """
    said = ""
    while True:
        try:
            return look_up()
        except Unavailable as error:
            if str(error) != said:
                said = str(error)
                say(f"nothing is started before this answers (Ctrl-C ends it): {said}")
        wait(LOOK_AGAIN_S)


def watch(
    fleet: Fleet,
    console: Console,
    stop: Stop,
    *,
    drain_when_idle_s: float | None,
    log_format: Format = "text",
) -> FleetStatus:
    """Show the live line, with warnings above it, until the fleet has ended; a stop drains the fleet.

    Waits for a controller that is late. Raises `Unavailable` where it is still late after a stop.
    """
    said: set[Line] = set()
    records, idle_since = 0, time.monotonic()
    status: FleetStatus | None = None
    asking, lag = ControllerPoll(fleet, stop), LastKnownLag()

    def say(one: Line) -> None:
        text = event(one) if log_format == "text" else json_line(one, fleet.name)
        live.console.print(text, soft_wrap=True, markup=False, highlight=False)

    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            try:
                answer, now = asking.look(), time.monotonic()
            except Refused:
                if status is None or status.state != "draining":
                    raise
                # Another command that watched the fleet has removed it.
                return lag.fill(replace(status, state="drained", replicas=()))
            if isinstance(answer, Unavailable):  # busy, or being restarted
                say(Line(at=time.time(), level="WARNING", replica="", event="late", text=str(answer)))
                continue
            status = answer
            lag.see(status)
            live.update(Text(line(status)))
            for one in news(status, said):
                say(one)
            if status.state in {"drained", "failed"}:
                return lag.fill(status)
            if status.lag != 0 or status.counts.records != records:
                records, idle_since = status.counts.records, now
            idle = drain_when_idle_s is not None and now - idle_since >= drain_when_idle_s
            if (stop.is_set() or idle) and status.state != "draining":
                fleet.drain()  # the next look asks again
            time.sleep(LOOK_EVERY_S)


def news(status: FleetStatus, said: set[Line]) -> list[Line]:
    """Return the warnings, errors and good endings that are not in `said` yet, and add them to it."""
    new = [one for one in status.lines if one not in said and (one.level != "INFO" or one.event in GOOD_ENDINGS)]
    said.update(new)
    return new


def _still_late(fleet: str, error: Unavailable) -> str:
    return (
        f"the order to drain fleet {fleet!r} was given, but {error}. In a Ray of its own the fleet ends with this "
        "command, and the next goes on where it was; in one that was joined it may live: undertow status"
    )
