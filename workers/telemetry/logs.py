"""Log lines: for people, or one JSON object each; the newest are kept for `undertow status`.

In: records of Python's own logging. Out: lines on standard error, which Ray keeps in a file for each actor, and a ring
of the newest. Knows nothing of what happens, only how it is written down.
"""

import logging
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from undertow.core.readable import readable
from undertow.schemas.records import Headers

Format = Literal["text", "json"]
KEPT = 10
"""So many lines a process keeps for the status."""
_TRACEPARENT = re.compile(
    rb"(?!ff|00-.{52}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""W3C's header: version, trace, parent, flags, and what versions after 00 may add. OpenTelemetry's propagator, by which
`tracing` reads it, is not installed everywhere; a test holds this to it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Line:
    """One line of a log, as the fleet's status carries it."""

    at: float
    """Seconds of the epoch."""
    level: str
    replica: str
    """Empty is the controller."""
    event: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecipe:
    """How a process logs."""

    log_level: str = "INFO"
    log_format: Format = "text"


def say(log: logging.Logger, level: int, event: str, text: str, **fields: Any) -> None:
    """Log an event: `text` says everything to a person, `fields` the same to a program."""
    log.log(level, "%s", text, extra={"event": event, "fields": fields})


def trace_of(headers: Headers) -> str | None:
    """Return the trace id of a record whose producer sent a W3C `traceparent`."""
    found = next((_TRACEPARENT.fullmatch(value) for name, value in headers if name == "traceparent"), None)
    return found[1].decode() if found else None


def iso(at: float) -> str:
    """Return a time in UTC to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03d}Z"


def json_line(line: Line, fleet: str) -> str:
    """Return a line of another process's log as `JsonLines` writes it, without the event's own fields."""
    who = {"fleet": fleet, "replica": line.replica or "controller"}
    told = {"time": iso(line.at), "level": line.level, **who, "event": line.event, "message": line.text}
    return orjson.dumps(told).decode()


class JsonLines(logging.Formatter):
    """One object a line: time, level, what the process is, event, message, and the event's own fields."""

    def __init__(self, context: Mapping[str, str]) -> None:
        """`context` stands in every line, such as the fleet and the replica."""
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Never fails on a field: what JSON does not know is written as text."""
        line = {
            "time": iso(record.created),
            "level": record.levelname,
            **self._context,
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextLines(logging.Formatter):
    """For people."""

    def __init__(self, context: Mapping[str, str]) -> None:
        """Begin lines with the last word of the context, the replica."""
        super().__init__()
        self._who = list(context.values())[-1] if context else ""

    def format(self, record: logging.LogRecord) -> str:
        """As time, level, who, event, what."""
        event = getattr(record, "event", record.name)
        text = f"{iso(record.created)} {record.levelname} {self._who} {event}: {readable(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class Ring(logging.Handler):
    """Keeps the newest lines."""

    def __init__(self, replica: str = "", size: int = KEPT) -> None:
        """`replica` is who says them."""
        super().__init__(logging.INFO)
        self._replica, self._kept = replica, deque[Line](maxlen=size)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, and let the oldest go."""
        line = Line(
            at=record.created,
            level=record.levelname,
            replica=self._replica,
            event=getattr(record, "event", record.name),
            text=record.getMessage(),
        )
        self._kept.append(line)

    def lines(self) -> tuple[Line, ...]:
        """Return them, the oldest first. Any thread may ask."""
        return tuple(self._kept)


def log_to_stderr(recipe: LogRecipe, *, fleet: str, replica: str = "") -> Ring:
    """Set this process's logging up: ours at the level asked for, that of libraries from WARNING on."""
    context = {"fleet": fleet, "replica": replica or "controller"}
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines(context) if recipe.log_format == "json" else TextLines(context))
    root, ours = logging.getLogger(), logging.getLogger("undertow")
    root.handlers, ring = [lines], Ring(replica)
    root.setLevel(logging.WARNING)
    # kafka-python tells of each attempt to reconnect, several a second; we tell of them once a minute.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ours.setLevel(recipe.log_level)
    ours.addHandler(ring)
    return ring
