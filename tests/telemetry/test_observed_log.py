"""What becomes of what a stream holds of raw observations is told in lines, the frequent ones once a minute."""

import logging

import pytest

from undertow.schemas.records import Partition
from undertow.stream.events import (
    Astray,
    BegunAnew,
    KnownPassedOver,
    KnownRead,
    NotWarm,
    SnapshotFailed,
    Snapshotted,
    Warmed,
    WindowsLeftOut,
)
from undertow.telemetry.event_log import EventLog

READINGS = Partition("readings", 3)


@pytest.mark.parametrize(
    ("event", "level", "name", "text"),
    [
        (
            Warmed(partitions=(READINGS,), offsets=20, series=1_500, seconds=0.25),
            "INFO",
            "warmed",
            "20 offsets of readings-3 read once more in 0.2 s, so that what was observed before is held again: 1,500 ",
        ),
        (
            NotWarm(partition=READINGS, offsets=7),
            "WARNING",
            "not-warm",
            "the topic no longer has 7 offsets of readings-3",
        ),
        (
            Snapshotted(partition=READINGS, next=9, series=4, bytes=1_000, seconds=0.5),
            "DEBUG",
            "snapshot",
            "snapshot of readings-3 up to 9: 4 series, 1,000 bytes, in 0.500 s",
        ),
        (
            SnapshotFailed(partition=READINGS, error="disk full"),
            "WARNING",
            "no-snapshot",
            "readings-3: disk full; a replica that takes it over reads more of the topic again",
        ),
        (
            KnownRead(records=2, rows=9_000, seconds=1.5),
            "INFO",
            "known-read",
            "what is known ahead was read, 2 records in 1.5 s: of each series and time the newest row, 9,000 in all",
        ),
        (
            KnownPassedOver(rows=2, example="ahead-0@3: at: expected a time, found noon"),
            "WARNING",
            "known-bad",
            "2 rows of windows.known_topic passed over, the last ahead-0@3: at: expected a time, found noon",
        ),
        (
            BegunAnew(record="readings-3@17", series=2),
            "WARNING",
            "begun-anew",
            "2 series begin anew behind readings-3@17, which is refused since who took it ended",
        ),
    ],
)
def test_each_is_a_line(event, level, name, text, caplog):
    with caplog.at_level(logging.DEBUG):
        EventLog()(event)
    (record,) = caplog.records
    assert (record.levelname, record.event) == (level, name)
    assert record.getMessage().startswith(text)


def test_what_may_come_with_every_record_is_told_once_a_minute(caplog, memory_clock):
    event_log = EventLog(memory_clock)
    for event in (
        WindowsLeftOut(windows=3, reason="not all statics of their series are known by then"),
        Astray(example="site=a in partition 3 and in 0"),
    ) * 2:
        event_log(event)
    memory_clock.advance(60)
    event_log(WindowsLeftOut(windows=2, reason="not all statics of their series are known by then"))
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "3 windows of observations are not made: not all statics of their series are known by then",
        "site=a in partition 3 and in 0: records of a series must lie in one partition, so let its ids be their key",
        "5 windows of observations are not made: not all statics of their series are known by then",
    ]
