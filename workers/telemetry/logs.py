"""Log lines: for people, or one JSON object each; the newest are kept for `undertow status`.

In: records of Python's own logging, and errors that end a thread. Out: lines without secrets on standard error, which
Ray keeps in a file for each actor, and a ring of the newest. Knows nothing of what happens, only how it is written.
"""

import logging
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from undertow.core.readable import readable
from undertow.core.secret_mask import MaskText, mask_patterns
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

    def __init__(self, context: Mapping[str, str], mask: MaskText = mask_patterns) -> None:
        """`context` stands in every line, such as the fleet and the replica."""
        super().__init__()
        self._context, self._mask = context, mask

    def format(self, record: logging.LogRecord) -> str:
        """Never fails on a field: what JSON does not know is written as text."""
        line = {
            "time": iso(record.created),
            "level": record.levelname,
            **self._context,
            "event": getattr(record, "event", record.name),
            "message": _message(record, self._mask),
            **_masked(getattr(record, "fields", {}), self._mask),
        }
        if record.exc_info:
            line["exception"] = self._mask(self.formatException(record.exc_info))
        return orjson.dumps(line, default=lambda o: self._mask(str(o)), option=orjson.OPT_NON_STR_KEYS).decode()


class TextLines(logging.Formatter):
    """For people."""

    def __init__(self, context: Mapping[str, str], mask: MaskText = mask_patterns) -> None:
        """Begin lines with the last word of the context, the replica."""
        super().__init__()
        self._who, self._mask = list(context.values())[-1] if context else "", mask

    def format(self, record: logging.LogRecord) -> str:
        """As time, level, who, event, what."""
        event = getattr(record, "event", record.name)
        said = readable(_message(record, self._mask))
        text = f"{iso(record.created)} {record.levelname} {self._who} {event}: {said}"
        return f"{text}\n{self._mask(self.formatException(record.exc_info))}" if record.exc_info else text


class Ring(logging.Handler):
    """Keeps the newest lines."""

    def __init__(self, replica: str = "", size: int = KEPT, mask: MaskText = mask_patterns) -> None:
        """`replica` is who says them."""
        super().__init__(logging.INFO)
        self._replica, self._kept, self._mask = replica, deque[Line](maxlen=size), mask

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, and let the oldest go."""
        line = Line(
            at=record.created,
            level=record.levelname,
            replica=self._replica,
            event=getattr(record, "event", record.name),
            text=_message(record, self._mask),
        )
        self._kept.append(line)

    def lines(self) -> tuple[Line, ...]:
        """Return them, the oldest first. Any thread may ask."""
        return tuple(self._kept)


def log_to_stderr(recipe: LogRecipe, *, fleet: str, replica: str = "", mask: MaskText = mask_patterns) -> Ring:
    """Set this process's logging up: ours at the level asked for, that of libraries from WARNING on.

    An error that ends a thread becomes a line, too: Python would write its trace as it is.
    """
    context = {"fleet": fleet, "replica": replica or "controller"}
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines(context, mask) if recipe.log_format == "json" else TextLines(context, mask))
    root, ours = logging.getLogger(), logging.getLogger("undertow")
    root.handlers, ring = [lines], Ring(replica, mask=mask)
    root.setLevel(logging.WARNING)
    # kafka-python tells of each attempt to reconnect, several a second; we tell of them once a minute.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ours.setLevel(recipe.log_level)
    ours.addHandler(ring)
    threading.excepthook = _thread_failed
    return ring


class _MaskedLines(logging.Formatter):
    def __init__(self, mask: MaskText) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        trace = f"\n{self._mask(self.formatException(record.exc_info))}" if record.exc_info else ""
        return _message(record, self._mask) + trace


def mask_last_resort(mask: MaskText) -> None:
    """Mask what libraries warn of in a process whose logging nobody has set up: Python writes it to standard error."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_MaskedLines(mask))


def _message(record: logging.LogRecord, mask: MaskText) -> str:
    try:
        return mask(record.getMessage())
    except Exception:  # noqa: BLE001 Python would write the arguments that do not fit as they are
        return mask(f"{record.msg} {record.args}")


def _masked(value: Any, mask: MaskText) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {key: _masked(inner, mask) for key, inner in value.items()}
    return [_masked(inner, mask) for inner in value] if isinstance(value, (list, tuple)) else value


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        name = failed.thread.name if failed.thread else "unknown"
        log = logging.getLogger(__name__)
        log.error("the thread %s has ended", name, exc_info=failed.exc_value, extra={"event": "thread-ended"})
