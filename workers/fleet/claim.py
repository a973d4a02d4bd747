"""Whose topic and group it is: a fleet shows a sign of life, and a second one that would read the same is refused.

In: what reads and writes the sign (`undertow.adapters.kafka_sign`), who we are. Out: the claim, or `Refused`. Knows
neither Kafka nor Ray.

No clock is shared: a fleet is alive where its sign changes while we look, and it changes every `BEAT_S`. A fleet that
was killed leaves a sign that stands still, which costs its successor `SILENCE_S`; one that ends takes its sign away. Of
two that start at the same moment the one whose sign is read back after `SETTLE_S` goes on, if writing takes no longer.

This keeps people from a mistake. It is no fence: who is taken for dead and is not, or who is started by force, can do
no harm, since the chain of the offline log takes each part once.
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
"""A sign that stands still for so long belongs to nobody: a controller that Ray starts again is silent for less."""
GOODBYE_S = 3.0
CHANGES = 3
"""So many are a living fleet: one that was just killed may change it once or twice more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What a fleet shows."""

    run: str
    """Differs from start to start; a restarted controller goes on with the one of its fleet."""
    fleet: str
    host: str
    pid: int
    """Of the process that started it."""
    since: float
    """Seconds of the epoch by the clock of `host`, for people."""
    beat: str = ""
    """Differs from beat to beat."""

    @property
    def origin(self) -> str:
        """Where it was started, and when, for people."""
        since = dt.datetime.fromtimestamp(self.since, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"started on {self.host} by process {self.pid}, {since}"

    def to_text(self) -> str:
        """Return what stands beside the offset."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Sign | None":
        """Read what somebody wrote; None where it is no sign of ours."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What it means that another fleet shows its sign in a place."""

    does: str
    """What that fleet does."""
    instead: str
    """What else to choose."""


GROUP = Held(does="reads this topic under this group", instead="another kafka.topic or kafka.group")


def own_sign(fleet: str, run: str) -> Sign:
    """Return the sign of a fleet that this process starts now."""
    return Sign(run=run, fleet=fleet, host=socket.gethostname(), pid=os.getpid(), since=time.time())


def holder(
    *, read: Callable[[], str], clock: Clock = time.monotonic, wait: Callable[[float], object] = time.sleep
) -> Sign | None:
    """Return the sign of the fleet that lives, None where none does. Changes nothing.

    Takes seconds where there is a sign: whether it moves must be seen.
    """
    seen, changes, quiet_since = read(), 0, clock()
    while Sign.parse(seen) is not None and clock() - quiet_since < SILENCE_S:
        wait(LOOK_EVERY_S)
        if (now := read()) != seen:
            seen, changes, quiet_since = now, changes + 1, clock()
        if changes >= CHANGES and (other := Sign.parse(seen)) is not None:
            return other
    return None


def claim(
    own: Sign,
    *,
    read: Callable[[], str],
    write: Callable[[str], None],
    held: Held = GROUP,
    clock: Clock = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Put up our sign where nobody else's moves. Raises `Refused`, naming the other fleet and what to do."""
    if (other := holder(read=read, clock=clock, wait=wait)) is not None:
        raise Refused(held_by(other, held))
    write(own.to_text())
    wait(SETTLE_S)
    found = Sign.parse(read())
    if found is not None and found.run != own.run:
        raise Refused(held_by(found, held))


def held_by(other: Sign, held: Held = GROUP) -> str:
    """Say who holds what we would hold, and what to do."""
    return (
        f"fleet {other.fleet!r} {held.does} already: {other.origin}. Drain it there "
        f"(undertow drain --set fleet.name={other.fleet}), or choose {held.instead}. To start "
        "beside it anyway, at the cost of doing work twice: undertow run --force"
    )


class Beat:
    """Shows a sign from a thread of its own, until told to stop. A broker that does not answer is asked again."""

    def __init__(self, own: Sign, *, write: Callable[[str], None]) -> None:
        """Begin."""
        self._own, self._write = own, write
        self._enough, self._is_last, self._has_gone = threading.Event(), False, False
        self._thread = start_daemon("the sign of life", self._beat, wait=self._enough.wait)

    def stop(self, *, is_last: bool) -> None:
        """Show it no more; with `is_last`, take it away. Waits for a broker that does not answer for `GOODBYE_S`."""
        self._is_last = is_last
        self._enough.set()
        self._thread.join(timeout=GOODBYE_S)

    def _beat(self) -> float | None:
        """Show the sign, changed; at the end try once to take it away."""
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
            log.debug("the sign of life could not be shown: %s", error)
