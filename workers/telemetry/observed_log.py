"""Write down what becomes of what a stream holds of raw observations.

In: events. Out: lines for operators. Knows no observation.
"""

import logging

from undertow.schemas.wording import counted
from undertow.stream.events import (
    BegunAnew,
    Event,
    KnownRead,
    NotWarm,
    SeriesForgotten,
    SnapshotFailed,
    Snapshotted,
    Warmed,
)
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)


def tell_observed(event: Event) -> None:
    """Write an event down, if it is of that."""
    match event:
        case Warmed(partitions=partitions, offsets=offsets, series=series, seconds=seconds):
            names = ", ".join(map(str, partitions))
            text = (
                f"{counted(offsets, 'offset')} of {names} read once more in {seconds:.1f} s, so that what was observed "
                f"before is held again: {series:,} series in all"
            )
            say(log, logging.INFO, "warmed", text, offsets=offsets, series=series, seconds=round(seconds, 3))
        case NotWarm(partition=partition, offsets=offsets):
            text = (
                f"the topic no longer has {counted(offsets, 'offset')} of {partition} that came after the newest "
                "snapshot: windows that reach back so far are shorter, or not made, until enough has been observed"
            )
            say(log, logging.WARNING, "not-warm", text, partition=str(partition), offsets=offsets)
        case Snapshotted(partition=partition, next=after, series=series, bytes=size, seconds=seconds):
            text = f"snapshot of {partition} up to {after}: {series:,} series, {size:,} bytes, in {seconds:.3f} s"
            say(log, logging.DEBUG, "snapshot", text, partition=str(partition), series=series, bytes=size)
        case SnapshotFailed(partition=partition, error=error):
            text = f"{partition}: {error}; a replica that takes it over reads more of the topic again"
            say(log, logging.WARNING, "no-snapshot", text, partition=str(partition), error=error)
        case KnownRead(records=records, rows=rows, seconds=seconds):
            text = (
                f"what is known ahead was read, {counted(records, 'record')} in {seconds:.1f} s: of each series and "
                f"time the newest row, {rows:,} in all"
            )
            say(log, logging.INFO, "known-read", text, records=records, rows=rows, seconds=round(seconds, 3))
        case BegunAnew(record=record, series=series):
            text = (
                f"{series:,} series begin anew behind {record}, which is refused since who took it ended: what was "
                "observed of them before may be why, so windows reach back to this record at most"
            )
            say(log, logging.WARNING, "begun-anew", text, record=record, series=series)
        case SeriesForgotten(partition=partition, series=series):
            text = f"{series:,} series of {partition} are held no more, since they are to be forgotten"
            say(log, logging.INFO, "forgotten", text, partition=str(partition), series=series)
