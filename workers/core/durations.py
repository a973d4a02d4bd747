"""Durations as people write them: 90s, 15m, 6h, 2d, 1w.

In: text, or seconds. Out: seconds, or text. Knows no clock.
"""

import re

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PATTERN = re.compile(r"(\d+)([smhdw])")
LONGEST_S = 100 * 365 * 86_400
"""Feast counts a ttl's nanoseconds in 64 bits, which are 292 years."""


def parse_duration(text: str) -> int:
    """Return the seconds that a text such as `36h` or `1d12h` says; `0` is none. Raises `ValueError`."""
    compact = text.replace(" ", "")
    parts = _PATTERN.findall(compact)
    if compact != "0" and (not parts or "".join(map("".join, parts)) != compact):
        message = f"expected a duration with its unit, such as 90s, 15m, 6h, 2d or 1d12h, found {text!r}"
        raise ValueError(message)
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST_S:
        message = f"expected at most 100 years, found {text!r}"
        raise ValueError(message)
    return seconds


def show_duration(seconds: int) -> str:
    """Write whole seconds as `parse_duration` reads them, in days and smaller: 93600 is 1d2h."""
    texts = []
    for unit in ("d", "h", "m", "s"):
        number, seconds = divmod(seconds, _SECONDS[unit])
        if number:
            texts.append(f"{number}{unit}")
    return "".join(texts) or "0"


def joinable(seconds: int) -> int:
    """Return the shortest ttl that is no shorter and that Feast's joins can take.

    Feast 0.67 hands a ttl to ibis, which refuses a timedelta of both days and seconds: "Unable to infer interval type
    from mixed units". So it is less than a day, or whole days.
    """
    day = _SECONDS["d"]
    return seconds if seconds < day else -(-seconds // day) * day
