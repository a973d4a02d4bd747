"""What the controller monitors from tick to tick: the reject ratio, partitions without a reader, log lines.

In: the fleet's status at each tick. Out: why the fleet must stop, or None; log lines. Knows nothing of orders.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

from undertow.fleet.reject_ratio import RejectSample, keep, too_many_rejects
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.settings.sections import FleetSettings
from undertow.stream.ports import Clock
from undertow.telemetry.logs import Line, say

log = logging.getLogger(__name__)

KEPT = 30


class FleetMonitor:
    """The monitor of one fleet. The thread that ticks owns it."""

    def __init__(self, clock: Clock, fleet: FleetSettings, *, lines: Callable[[], tuple[Line, ...]] = tuple) -> None:
        """`lines` returns the newest lines of this process's log."""
        self._clock, self._fleet, self._own = clock, fleet, lines
        self._counted: list[RejectSample] = []
        self._of_the_gone = deque[Line](maxlen=KEPT)
        self._unread_since: float | None = None

    def gone(self, replica: ReplicaStatus, reason: str | None) -> None:
        """Keep the last log lines of a replica that has ended; `reason` is None where it was drained."""
        self._of_the_gone.extend(replica.lines)
        if reason is None:
            return
        read = sorted(map(str, replica.held))
        where = f"{replica.name} on {replica.node or 'its node'}"
        text = f"{where} ended: {reason}; it read {', '.join(read) or 'nothing'}"
        say(log, logging.WARNING, "failover", text, of=replica.name, reason=reason, pid=replica.pid, partitions=read)
        if replica.held and self._unread_since is None:
            self._unread_since = self._clock()

    def lines(self, alive: Iterable[ReplicaStatus]) -> tuple[Line, ...]:
        """Return the newest lines of all logs, oldest first."""
        return tuple(sorted({*self._own(), *self._of_the_gone, *(line for one in alive for line in one.lines)})[-KEPT:])

    def see(self, status: FleetStatus) -> str | None:
        """Take in the status of a tick; return why the fleet must stop, None where it need not."""
        if self._unread_since is not None and not status.unread:
            seconds, self._unread_since = self._clock() - self._unread_since, None
            text = f"all partitions are read again, {seconds:.1f} s after"
            say(log, logging.INFO, "taken-over", text, seconds=round(seconds, 3))
        if self._fleet.max_reject_ratio is None or status.state not in {"starting", "running"}:
            return None
        now = RejectSample(at=self._clock(), records=status.counts.records, rejects=status.counts.rejects)
        self._counted = keep(self._counted, now, self._fleet.reject_window_seconds)
        found = too_many_rejects(self._fleet, self._counted)
        if found is None:
            return None
        places = ", ".join(f"{reason} at {place}" for reason, place in sorted(status.counts.last_reject.items()))
        message = (
            f"{found}; the last: {places}. See them: undertow replay. Once their producer is mended, undertow run goes "
            "on from here; a higher ratio lets it go on over what is still in the topic"
        )
        say(log, logging.ERROR, "reject-ratio", message, reasons=dict(status.counts.rejects))
        return message
