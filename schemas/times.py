"""Parse and format event times: ISO 8601 with a zone, or integer microseconds since the epoch.

In: a value of a document, or a column of times. Out: microseconds since the epoch, UTC, or texts. Knows no codec.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000
_GUESSED_FROM_US, _GUESSED_TO_US = 631_152_000_000_000, 4_102_444_800_000_000  # 1990 to 2100
_UNITS = (("seconds", 1_000_000, 1), ("milliseconds", 1_000, 1), ("nanoseconds", 1, 1_000), ("days", _DAY_US, 1))
"""(unit, its multiplier and divisor to microseconds). Unambiguous: no number is a time of these years in two units."""
_LONGEST_NUMBER = 20  # digits of 64 bits
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 253_370_764_799_999_999  # the last microsecond of 9998: later times often stand for "never"
# Digits beyond microseconds must be 0: cutting them off could give two windows of a series the same event time.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6}0*)?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when until when: microseconds since the epoch, UTC; None is without bound."""

    since_us: int | None = None
    until_us: int | None = None
    """Not included."""


def parse_time(value: object) -> int:
    """Return microseconds since the epoch, UTC. Raises `ValueError` for any other text, no zone, or out of range."""
    if type(value) is str:
        if _ISO(value) is None:
            message = "no ISO 8601 time with a zone"
            raise ValueError(message)
        since = datetime.fromisoformat(value) - EPOCH
        time_us = since.days * _DAY_US + since.seconds * _SECOND_US + since.microseconds
    elif type(value) is int:  # a bool is not
        time_us = value
    else:
        message = "neither a string nor an integer"
        raise ValueError(message)
    if not FIRST_US <= time_us <= LAST_US:
        message = "outside the years 1900 to 9998"
        raise ValueError(message)
    return time_us


def format_times(times_us: NDArray[np.int64]) -> list[str]:
    """Format times as ISO 8601 with microseconds, in UTC."""
    return [f"{text}Z" for text in np.datetime_as_string(times_us.astype("datetime64[us]"))]


def format_time(time_us: int) -> str:
    """Format one time as `format_times` does."""
    return format_times(np.array([time_us], np.int64))[0]


def guess_unit(value: object) -> str:
    """Return a hint on the unit of a number that is not a plausible time in microseconds; empty if no unit fits."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < _LONGEST_NUMBER:
        return f", a number in quotes{guess_unit(int(value))}"
    if type(value) is int:
        return _guess(value)
    # A float is not a whole number of microseconds, so it is meant in a larger unit.
    return _guess(value) if type(value) is float and abs(value) < LAST_US else ""


def are_of_another_unit(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return, (n,), which numbers are no plausible time in microseconds, but one in a unit that `guess_unit` names."""
    plausible = (times >= _GUESSED_FROM_US) & (times <= _GUESSED_TO_US)
    others = np.zeros(len(times), np.bool_)
    for _, us, units in _UNITS:
        first, last = -(-_GUESSED_FROM_US * units // us), ((_GUESSED_TO_US + 1) * units - 1) // us
        others |= (times >= first) & (times <= last)
    return others & ~plausible


def _guess(value: float) -> str:
    if _GUESSED_FROM_US <= value <= _GUESSED_TO_US:
        return ""
    for unit, us, units in _UNITS:
        if _GUESSED_FROM_US <= (time_us := int(value * us) // units) <= _GUESSED_TO_US:
            return f" ({value} microseconds since the epoch; as {unit} it would be {format_time(time_us)})"
    return ""
