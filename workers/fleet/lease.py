"""A lease on topic and group: a fleet writes a heartbeat, and a second fleet that would read the same is refused.

In: what reads and writes the lease (`undertow.adapters.kafka_lease`), our own. Out: nothing, or `Refused`. Knows
neither Kafka nor Ray.

No clock is shared: a fleet is alive where its lease changes while we watch, and it changes every `BEAT_S`. A killed
fleet leaves a lease that does not change, which delays its successor by `SILENCE_S`; one that ends deletes its own.
Of two that start together the one whose lease is read back after `SETTLE_S` wins, if writing takes no longer.

This prevents mistakes of people. It is no fence: a fleet taken for dead that is not, or one started by force, does no
harm, since the chain of the offline log accepts each part once.
"""

import datetime as dt
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from undertow.core.errors import Refused, UndertowError
from undertow.fleet.daemon import start_daemon
from undertow.stream.ports import Clock

log = logging.getLogger(__name__)

BEAT_S = 1.0
LOOK_EVERY_S = 0.25
SETTLE_S = 0.5
SILENCE_S = 4.0
"""A lease unchanged for this long is expired: a controller that Ray restarts is silent for less."""
GOODBYE_S = 3.0
CHANGES = 3
"""This many changes prove a living fleet: writes of one that was just killed may still arrive once or twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The heartbeat record of a fleet."""

    run: str
    """Unique to each start of a fleet; a restarted controller keeps it."""
    fleet: str
    host: str
    pid: int
    """The process that started it."""
    since: float
    """Seconds since the epoch by the clock of `host`, for people."""
    beat: str = ""
    """Unique to each heartbeat."""

    @property
    def origin(self) -> str:
        """Where it was started, and when, for people."""
        since = dt.datetime.fromtimestamp(self.since, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"started on {self.host} by process {self.pid}, {since}"

    def to_text(self) -> str:
        """Serialize it, as metadata of a committed offset."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Lease | None":
        """Parse such metadata; None where it is no lease of ours."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderTexts:
    """The texts for a place that another fleet holds."""

    does: str
    """What that fleet does."""
    instead: str
    """What to choose instead."""


GROUP = HolderTexts(does="reads this topic under this group", instead="another kafka.topic or kafka.group")


def own_lease(fleet: str, run: str) -> Lease:
    """Return the lease of a fleet that this process starts now."""
    return Lease(run=run, fleet=fleet, host=socket.gethostname(), pid=os.getpid(), since=time.time())


def holder(
    *, read: Callable[[], str], clock: Clock = time.monotonic, wait: Callable[[float], object] = time.sleep
) -> Lease | None:
    """Return the lease of the living fleet, None without one. Changes nothing.

    Takes seconds where there is a lease, to see whether it changes.
    """
    seen, changes, quiet_since = read(), 0, clock()
    while Lease.parse(seen) is not None and clock() - quiet_since < SILENCE_S:
        wait(LOOK_EVERY_S)
        if (now := read()) != seen:
            seen, changes, quiet_since = now, changes + 1, clock()
        if changes >= CHANGES and (other := Lease.parse(seen)) is not None:
            return other
    return None


def acquire(
    own: Lease,
    *,
    read: Callable[[], str],
    write: Callable[[str], None],
    held: HolderTexts = GROUP,
    clock: Clock = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Write our lease where no other fleet is alive. Raises `Refused`, naming the other fleet and what to do."""
    if (other := holder(read=read, clock=clock, wait=wait)) is not None:
        raise Refused(held_by(other, held))
    write(own.to_text())
    wait(SETTLE_S)
    found = Lease.parse(read())
    if found is not None and found.run != own.run:
        raise Refused(held_by(found, held))


def held_by(other: Lease, held: HolderTexts = GROUP) -> str:
    """Return the message that another fleet holds this place, and what to do."""
    return (
        f"fleet {other.fleet!r} {held.does} already: {other.origin}. Drain it there "
        f"(undertow drain --set fleet.name={other.fleet}), or choose {held.instead}. To start "
        "beside it anyway, at the cost of doing work twice: undertow run --force"
    )


class Heartbeat:
    """Writes the heartbeat in a thread of its own until stopped; retries while the broker is unavailable."""

    def __init__(self, own: Lease, *, write: Callable[[str], None]) -> None:
        """Start."""
        self._own, self._write = own, write
        self._enough, self._is_last, self._has_gone = threading.Event(), False, False
        self._thread = start_daemon("the heartbeat", self._write_next, wait=self._enough.wait)

    def stop(self, *, is_last: bool) -> None:
        """Stop; with `is_last`, delete the lease. Waits at most `GOODBYE_S` for an unavailable broker."""
        self._is_last = is_last
        self._enough.set()
        self._thread.join(timeout=GOODBYE_S)

    def _write_next(self) -> float | None:
        """Write the next heartbeat; at the end try once to delete the lease."""
        if not self._enough.is_set():
            self._show(self._changed())
            return BEAT_S
        if self._is_last and not self._has_gone:
            self._has_gone = True
            self._show("")
        return None

    def _changed(self) -> str:
        return replace(self._own, beat=os.urandom(6).hex()).to_text()

    def _show(self, text: str) -> None:
        try:
            self._write(text)
        except UndertowError as error:
            log.debug("the heartbeat could not be written: %s", error)
