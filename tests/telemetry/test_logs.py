"""What an operator reads: which events become lines, how often, and in which form."""

import json
import logging
from pathlib import Path

import pytest

from undertow.fleet.replica import Replica
from undertow.fleet.status import FleetSize
from undertow.schemas.records import Partition, Record, Reject
from undertow.stream.events import (
    Assigned,
    Checkpointed,
    ClockAhead,
    Lost,
    OddTimes,
    Recovered,
    Rejected,
    Retrying,
    Taken,
)
from undertow.telemetry.event_log import EventLog
from undertow.telemetry.logs import JsonLines, LogRecipe, TextLines, log_to_stderr, say, trace_of

ZERO, ONE = Partition("windows", 0), Partition("windows", 1)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = (("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode()),)


def reject(offset, reason="number", headers=()):
    record = Record(partition=ZERO, offset=offset, appended_us=5, value=b"{}", headers=headers)
    return Reject(record=record, reason=reason, detail=f"past.flow[{offset}]: expected a number")


@pytest.fixture
def event_log(memory_clock, caplog):
    caplog.set_level("DEBUG", "undertow")
    return EventLog(memory_clock)


def lines(caplog):
    formatter = JsonLines({"fleet": "f", "replica": "replica-1"})
    return [json.loads(formatter.format(record)) for record in caplog.records]


def test_each_event_is_one_object_with_what_a_program_needs_of_it(event_log, caplog):
    event_log(Assigned(positions={ONE: 7, ZERO: 3}))
    event_log(Checkpointed(ranges={ZERO: (3, 9)}, rows=6, took=(10.0, 10.25)))
    event_log(Retrying(error="redis is away"))
    event_log(Recovered(error="redis is away", seconds=61.2))
    event_log(Lost(partition=ONE, offsets=1_200))
    found = [{k: v for k, v in line.items() if k not in {"time", "message"}} for line in lines(caplog)]
    who = {"fleet": "f", "replica": "replica-1"}
    assert found == [
        {"level": "INFO", **who, "event": "assigned", "positions": {"windows-0": 3, "windows-1": 7}},
        {"level": "DEBUG", **who, "event": "checkpoint", "offsets": {"windows-0": [3, 9]}, "rows": 6, "seconds": 0.25},
        {"level": "WARNING", **who, "event": "retrying", "error": "redis is away"},
        {"level": "INFO", **who, "event": "recovered", "seconds": 61.2, "error": "redis is away"},
        {"level": "WARNING", **who, "event": "gap", "partition": "windows-1", "offsets": 1_200, "reason": "retention"},
    ]
    assert "windows-0 3 to 8" in lines(caplog)[1]["message"]


def test_a_delivery_is_no_line(event_log, caplog):
    event_log(Taken(records=[], windows=3, space="0", stages={"poll": (0.0, 1.0)}))
    assert caplog.records == []


def test_rejects_are_told_once_a_minute_for_each_reason_with_their_number_and_the_trace_of_one(
    event_log, caplog, memory_clock
):
    event_log(Rejected(rejects=[reject(0), reject(1, headers=HEADERS), reject(2, "category")]))
    for offset in range(3, 8):
        memory_clock.advance(10)
        event_log(Rejected(rejects=[reject(offset)]))
    memory_clock.advance(15)
    event_log(Rejected(rejects=[reject(8)]))
    found = [(line["reason"], line["count"], line["offset"], line["trace_id"]) for line in lines(caplog)]
    assert found == [("number", 2, 1, TRACE), ("category", 1, 2, None), ("number", 6, 8, None)]
    assert "undertow replay --reason number" in lines(caplog)[0]["message"]


def test_odd_times_and_a_clock_that_is_ahead_are_told_once_a_minute_with_their_number(event_log, caplog, memory_clock):
    for _ in range(14):
        event_log(OddTimes(windows=2, example="pump=p, 1985-01-01T00:00:00.000000Z"))
        event_log(ClockAhead(windows=3, seconds=0.25))
        memory_clock.advance(5)
    found = [(line["event"], line["count"]) for line in lines(caplog)]
    assert found == [("odd-times", 2), ("clock-ahead", 3), ("odd-times", 24), ("clock-ahead", 36)]
    assert "the last: pump=p, 1985" in lines(caplog)[0]["message"]
    assert "up to 0.250 s" in lines(caplog)[1]["message"]


@pytest.mark.parametrize("value", [b"", b"00-xyz", b"00-" + b"0" * 31 + b"-00f067aa0ba902b7-01", b"\xff" * 55])
def test_a_traceparent_that_is_none_is_passed_over(value):
    assert trace_of((("traceparent", value),)) is None


def test_a_traceback_stays_in_one_line_of_json(caplog):
    logging.getLogger("elsewhere").warning("it broke", exc_info=ValueError("two\nlines"))
    text = JsonLines({}).format(caplog.records[0])
    assert "\n" not in text
    assert json.loads(text)["event"] == "elsewhere"
    assert "ValueError: two\nlines" in json.loads(text)["exception"]


def test_a_field_that_json_does_not_know_is_written_as_text(caplog):
    say(logging.getLogger("undertow.t"), logging.WARNING, "odd", "100 % odd", where=Path("windows-0"))
    (line,) = lines(caplog)
    assert (line["message"], line["where"]) == ("100 % odd", "windows-0")


def test_text_says_when_who_and_what(caplog):
    say(logging.getLogger("undertow.t"), logging.WARNING, "odd", "so it is")
    text = TextLines({"fleet": "f", "replica": "replica-1"}).format(caplog.records[0])
    assert text.endswith("Z WARNING replica-1 odd: so it is")


@pytest.fixture
def loggers():
    """The loggers that are set up, restored afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("undertow")
    before = root.handlers, root.level, ours.handlers, ours.level, logging.getLogger("kafka").level
    root.handlers, ours.handlers = [], []
    yield
    root.handlers, ours.handlers = before[0], before[2]
    root.setLevel(before[1])
    ours.setLevel(before[3])
    logging.getLogger("kafka").setLevel(before[4])


@pytest.mark.usefixtures("loggers")
def test_a_process_writes_to_stderr_at_its_level_and_keeps_its_newest_lines(capsys):
    ring = log_to_stderr(LogRecipe(log_level="INFO", log_format="json"), fleet="f", replica="replica-1")
    ours = logging.getLogger("undertow.stream.loop")
    say(ours, logging.DEBUG, "quiet", "not asked for")
    for number in range(12):
        say(ours, logging.INFO, "loud", f"number {number}")
    logging.getLogger("redis").info("chatter of a library")
    logging.getLogger("redis").warning("trouble of a library")
    logging.getLogger("kafka").error("cannot connect, again")
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in written] == ["loud"] * 12 + ["redis"]
    assert [(line.replica, line.text) for line in ring.lines()] == [("replica-1", f"number {n}") for n in range(2, 12)]


def test_a_replica_told_to_end_before_it_opened_anything_does_not_say_that_it_started(caplog):
    caplog.set_level("INFO", "undertow")
    replica = Replica("r0", {"pumps": pytest.fail}, drain_timeout_seconds=60)
    replica.drain(FleetSize(version=1))
    replica.run()
    assert [record.event for record in caplog.records] == ["drain"]
