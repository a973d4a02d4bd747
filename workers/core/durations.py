"""Durations as people write them: 90s, 15m, 6h, 2d, 1w.

In: text, or seconds. Out: seconds, or text. Knows no clock.
"""

import re
from collections.abc import Mapping

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MICROSECONDS = {"us": 1, "ms": 1_000, **{unit: seconds * 1_000_000 for unit, seconds in _SECONDS.items()}}
_PART = re.compile(r"(\d+)(us|ms|[smhdw])")
LONGEST_S = 100 * 365 * 86_400
"""100 years: a round choice below what Feast can hold, which is 292 years (nanoseconds in 64 bits)."""


def parse_duration(text: str) -> int:
    """Parse a duration such as `36h` or `1d12h` into seconds; `0` needs no unit. Raises `ValueError`."""
    return _parse(text, _SECONDS, "90s, 15m, 6h, 2d or 1d12h")


def parse_microseconds(text: str) -> int:
    """Parse a duration such as `20ms`, `15m` or `1d12h` into microseconds; `0` needs no unit. Raises `ValueError`."""
    return _parse(text, _MICROSECONDS, "20ms, 90s, 15m, 6h or 1d12h")


def _parse(text: str, units: Mapping[str, int], examples: str) -> int:
    compact = text.replace(" ", "")
    parts = _PART.findall(compact)
    is_whole = "".join(map("".join, parts)) == compact and all(unit in units for _, unit in parts)
    if compact != "0" and not (parts and is_whole):
        message = f"expected a duration with its unit, such as {examples}, found {text!r}"
        raise ValueError(message)
    duration = sum(int(number) * units[unit] for number, unit in parts)
    if duration > LONGEST_S * units["s"]:
        message = f"expected at most 100 years, found {text!r}"
        raise ValueError(message)
    return duration


def show_duration(seconds: int) -> str:
    """Format whole seconds so that `parse_duration` reads them back, in days and smaller units: 93600 is 1d2h."""
    texts = []
    for unit in ("d", "h", "m", "s"):
        number, seconds = divmod(seconds, _SECONDS[unit])
        if number:
            texts.append(f"{number}{unit}")
    return "".join(texts) or "0"


def joinable(seconds: int) -> int:
    """Round a ttl in seconds up to one that Feast's joins accept: less than a day, or a whole number of days.

    Feast 0.67 passes the ttl to ibis, which refuses a timedelta with both days and seconds: "Unable to infer interval
    type from mixed units".
    """
    day = _SECONDS["d"]
    return seconds if seconds < day else -(-seconds // day) * day
