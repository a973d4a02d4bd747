"""Write a stream's events as log lines, rate-limited.

In: events. Out: lines for operators, never one for each record. Knows no format of lines.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from undertow.schemas.records import REASONS, Reject
from undertow.schemas.wording import are, counted
from undertow.stream.events import (
    Assigned,
    Astray,
    Checkpointed,
    ClockAhead,
    ClockStepped,
    Event,
    KnownPassedOver,
    Lost,
    NotRestored,
    OddTimes,
    Recovered,
    Rejected,
    Restored,
    Retrying,
    StoreLost,
    TurnedBack,
    WindowsLeftOut,
)
from undertow.stream.ports import Clock
from undertow.telemetry.logs import say, trace_of
from undertow.telemetry.observed_log import tell_observed

log = logging.getLogger(__name__)

EVERY_S = 60.0
"""The least interval between lines about events that may come with every record."""


class EventLog:
    """A `Listener`. Rejects are told once a minute for each reason, with number and example; so are oddities."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
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
                text = f"retention deleted {counted(offsets, 'offset')} of {partition} unread"
                if reason != "retention":
                    text = (
                        f"{counted(offsets, 'offset')} of {partition} {are(offsets)} passed over ({reason}: "
                        f"{REASONS[reason]}); what lies there is among the dead letters: undertow replay"
                    )
                say(log, logging.WARNING, "gap", text, partition=str(partition), offsets=offsets, reason=reason)
            case TurnedBack():
                self._turned_back(event)
            case Rejected(rejects=rejects):
                self._rejects(rejects)
            case _:
                self._oddities(event)
                _tell_store(event)
                tell_observed(event)

    def _oddities(self, event: Event) -> None:
        match event:
            case ClockStepped() | OddTimes() | ClockAhead():
                self._clocks(event)
            case WindowsLeftOut() | Astray() | KnownPassedOver():
                self._observed(event)

    def _observed(self, event: WindowsLeftOut | Astray | KnownPassedOver) -> None:
        if isinstance(event, Astray):
            if self._due("astray", 1):
                text = f"{event.example}: records of a series must lie in one partition, so let its ids be their key"
                say(log, logging.WARNING, "astray", text, example=event.example)
        elif isinstance(event, KnownPassedOver):
            if count := self._due("known-bad", event.rows):
                text = f"{counted(count, 'row')} of windows.known_topic passed over, the last {event.example}"
                say(log, logging.WARNING, "known-bad", text, count=count, example=event.example)
        elif count := self._due(event.reason, event.windows):
            text = f"{counted(count, 'window')} of observations {are(count)} not made: {event.reason}"
            say(log, logging.WARNING, "left-out", text, count=count, reason=event.reason)

    def _turned_back(self, event: TurnedBack) -> None:
        text = (
            f"the broker has lost what was read of {event.partition}: its record {event.last.offset} (leader epoch "
            f"{event.last.epoch}) is gone, or another. Offsets {event.first} to {event.next - 1} are read again, the "
            "rows of the lost records stay"
        )
        span = {"partition": str(event.partition), "offsets": [event.first, event.next]}
        say(log, logging.WARNING, "diverged", text, **span)

    def _checkpoint(self, event: Checkpointed) -> None:
        ranges: Mapping[str, tuple[int, int]] = {str(p): span for p, span in sorted(event.ranges.items())}
        seconds = event.took[1] - event.took[0]
        parts = ", ".join(f"{partition} {first} to {after - 1}" for partition, (first, after) in ranges.items())
        text = f"{counted(event.rows, 'row')} {are(event.rows)} durable in {seconds:.3f} s: {parts}"
        say(log, logging.DEBUG, "checkpoint", text, offsets=ranges, rows=event.rows, seconds=round(seconds, 4))

    def _due(self, what: str, count: int) -> int:
        """Return how many are to be told of now, those that were not told of included; 0 where it is not time."""
        self._unsaid[what] = self._unsaid.get(what, 0) + count
        if (now := self._clock()) - self._said_at.get(what, -EVERY_S) < EVERY_S:
            return 0
        self._said_at[what] = now
        return self._unsaid.pop(what)

    def _clocks(self, event: OddTimes | ClockAhead | ClockStepped) -> None:
        if not isinstance(event, ClockStepped):
            self._oddity(event)
            return
        way = "forward" if event.seconds > 0 else "back"
        text = (
            f"this machine's clock was set {way} by {abs(event.seconds):,.1f} s: "
            "checkpoints and retries go on as before, latencies are measured by it from now on"
        )
        say(log, logging.WARNING, "clock-stepped", text, seconds=round(event.seconds, 3))

    def _oddity(self, event: OddTimes | ClockAhead) -> None:
        name = "odd-times" if isinstance(event, OddTimes) else "clock-ahead"
        if not (count := self._due(name, event.windows)):
            return
        if isinstance(event, OddTimes):
            text = (
                f"{counted(count, 'window')} taken with event times before 1990 or after next year, the "
                f"last: {event.example}"
            )
            say(log, logging.WARNING, name, text, count=count, example=event.example)
            return
        text = (
            f"{count:,} windows were readable before the time that their records are stamped with, the last by up to "
            f"{event.seconds:.3f} s, and their latency counts as 0: let the clock that stamps them (the broker's; with "
            "message.timestamp.type = CreateTime the producer's) agree with this machine's"
        )
        say(log, logging.WARNING, name, text, count=count, seconds=round(event.seconds, 3))

    def _rejects(self, rejects: Sequence[Reject]) -> None:
        counts = Counter(reject.reason for reject in rejects)
        last = {reject.reason: reject for reject in rejects}
        for reason, reject in last.items():
            if not (count := self._due(reason, counts[reason])):
                continue
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


def _tell_store(event: Event) -> None:
    """Write down what became of an online store that has lost data, if that is what is told."""
    match event:
        case StoreLost(reason=reason, is_ours=is_ours):
            text = f"the online store has lost data: {reason}"
            text += "; it is filled again from the offline log, beside the stream" if is_ours else ""
            say(log, logging.WARNING, "store-lost", text, reason=reason)
        case Restored(series=series, written=written, seconds=seconds):
            text = f"the online store is filled again: {written:,} of {series:,} series written in {seconds:.1f} s"
            say(log, logging.WARNING, "store-restored", text, series=series, written=written)
        case NotRestored(error=error):
            text = f"the online store is not filled again: {error}; once that is mended: undertow rebuild"
            say(log, logging.ERROR, "store-not-restored", text, error=error)
