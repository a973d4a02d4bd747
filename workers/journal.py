"""What a stream tells, as log lines.

In: events. Out: a line for each that an operator may want, never one for each record. Knows no format of lines.
"""

import logging
import time
from collections.abc import Mapping, Sequence

from schemas.records import REASONS, Reject
from workers.core.events import Assigned, Checkpointed, Event, Lost, Recovered, Rejected, Retrying
from workers.core.ports import Clock
from workers.logs import say, trace_of

log = logging.getLogger(__name__)

REJECTS_EVERY_S = 60.0


class Journal:
    """A `Tell`. Rejects are told once a minute for each reason, with their number and an example."""

    def __init__(self, clock: Clock = time.time) -> None:
        """Nothing has been said yet."""
        self._clock = clock
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Write it down, or not."""
        match event:
            case Assigned(positions=positions):
                places = {str(partition): offset for partition, offset in sorted(positions.items())}
                reads = ", ".join(f"{partition} from {offset}" for partition, offset in places.items())
                say(log, logging.INFO, "assigned", f"reads {reads or 'nothing'}", positions=places)
            case Checkpointed() if log.isEnabledFor(logging.DEBUG):
                self._checkpoint(event)
            case Retrying(error=error):
                say(log, logging.WARNING, "retrying", f"trying again until it answers: {error}", error=error)
            case Recovered(error=error, seconds=seconds):
                text = f"goes on after {seconds:.1f} s of: {error}"
                say(log, logging.INFO, "recovered", text, seconds=round(seconds, 3), error=error)
            case Lost(partition=partition, offsets=offsets, reason=reason):
                text = f"retention deleted {offsets:,} offsets of {partition} before they were read"
                if reason != "retention":
                    text = (
                        f"{offsets:,} offsets of {partition} are passed over ({reason}: {REASONS[reason]}); what lies "
                        "there is among the dead letters: undertow replay"
                    )
                say(log, logging.WARNING, "gap", text, partition=str(partition), offsets=offsets, reason=reason)
            case Rejected(rejects=rejects):
                self._rejects(rejects)
            case _:
                pass

    def _checkpoint(self, event: Checkpointed) -> None:
        ranges: Mapping[str, tuple[int, int]] = {str(p): span for p, span in sorted(event.ranges.items())}
        seconds = event.took[1] - event.took[0]
        parts = ", ".join(f"{partition} {first} to {after - 1}" for partition, (first, after) in ranges.items())
        text = f"{event.rows:,} rows are durable in {seconds:.3f} s: {parts}"
        say(log, logging.DEBUG, "checkpoint", text, offsets=ranges, rows=event.rows, seconds=round(seconds, 4))

    def _rejects(self, rejects: Sequence[Reject]) -> None:
        last: dict[str, Reject] = {}
        for reject in rejects:
            self._unsaid[reject.reason] = self._unsaid.get(reject.reason, 0) + 1
            last[reject.reason] = reject
        now = self._clock()
        for reason, reject in last.items():
            if now - self._said_at.get(reason, -REJECTS_EVERY_S) < REJECTS_EVERY_S:
                continue
            self._said_at[reason], count = now, self._unsaid.pop(reason)
            record = reject.record
            place = f"{record.partition}@{record.offset}"
            text = f"{count:,} refused as {reason}, the last {place}: {reject.detail}"
            say(
                log,
                logging.WARNING,
                "rejects",
                f"{text} (undertow replay --reason {reason})",
                reason=reason,
                count=count,
                partition=str(record.partition),
                offset=record.offset,
                detail=reject.detail,
                trace_id=trace_of(record.headers),
            )
