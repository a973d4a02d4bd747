"""Event times as they are written: ISO 8601 with a zone, or integer microseconds since the epoch.

In: one value of a document, or a column of times. Out: microseconds since the epoch, UTC, and back. Knows no codec.
"""

import re
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 253_370_764_799_999_999  # the last microsecond of 9998: what follows is how people write "never"
# Digits beyond the microsecond must be zeros: cutting others off could give two windows of a series one event time.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6}0*)?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
).fullmatch


def parse_time(value: object) -> int:
    """Return microseconds since the epoch. Raises `ValueError` for what is no time, has no zone or is out of range."""
    if type(value) is str:
        if _ISO(value) is None:
            message = "no ISO 8601 time with a zone"
            raise ValueError(message)
        since = datetime.fromisoformat(value) - _EPOCH
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
    """Return ISO 8601 with microseconds, in UTC."""
    return [f"{text}Z" for text in np.datetime_as_string(times_us.astype("datetime64[us]"))]
