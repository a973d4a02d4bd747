"""Durations as people write them, 90s, 15m, 1d12h, and as ISO 8601 does, PT1H.

In: text, or a number. Out: seconds or microseconds, or text. Knows no clock.
"""

import re
from collections.abc import Mapping

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MICROSECONDS = {"us": 1, "ms": 1_000, **{unit: seconds * 1_000_000 for unit, seconds in _SECONDS.items()}}
_PART = re.compile(r"(\d+)(us|ms|[smhdw])")
_ISO = re.compile(r"P(?:\d+W)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?").fullmatch
"""Of ISO 8601 what has one length: neither months and years nor fractions."""
LONGEST_S = 100 * 365 * 86_400
"""100 years: a round choice below what Feast can hold, which is 292 years (nanoseconds in 64 bits)."""


def parse_duration(text: str) -> int:
    """Parse a duration such as `36h`, `1d12h` or `PT36H` into seconds; `0` needs no unit. Raises `ValueError`."""
    return _parse(text, _SECONDS, "90s, 15m, 6h, 1d12h or PT1H")


def parse_microseconds(text: str) -> int:
    """Parse a duration such as `20ms`, `1d12h` or `PT15M` into microseconds; `0` needs no unit. Raises `ValueError`."""
    return _parse(text, _MICROSECONDS, "20ms, 90s, 15m, 1d12h or PT1H")


def _parse(text: str, units: Mapping[str, int], examples: str) -> int:
    compact = text.replace(" ", "")
    if compact[-1:].isalpha() and _ISO(compact):
        compact = compact[1:].replace("T", "").lower()  # W, D, H, M and S are the same units
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
    return show_microseconds(seconds * _MICROSECONDS["s"])


def show_microseconds(duration: int) -> str:
    """Format microseconds so that `parse_microseconds` reads them back: 1500000 is 1s500ms."""
    texts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        number, duration = divmod(duration, _MICROSECONDS[unit])
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
