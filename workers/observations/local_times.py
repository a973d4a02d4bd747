"""Local times of a zone, to UTC and from it, by the zone's rules.

In: a zone's name, times. Out: microseconds since the epoch, UTC, or Arrow's timestamps of the zone. Knows no grid.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from undertow.core.errors import Refused
from undertow.schemas.arrow_columns import Mask, Rows, not_null

FOLDS = ("refuse", "earlier", "later")
_UTC = "UTC"


def require_zone(zone: str) -> None:
    """Raise `Refused` if the zone is neither empty nor one that is known here."""
    try:
        pc.hour(pa.array([0], pa.timestamp("us", tz=zone or _UTC)))
    except pa.ArrowException as error:
        message = (
            f"windows.zone: expected a name of the IANA database such as Europe/Berlin, found {zone!r} ({error}; where "
            "the machine has none, its package tzdata brings them)"
        )
        raise Refused(message) from None


def in_zone(times_us: Rows, zone: str) -> Any:
    """Return times as Arrow's timestamps of a zone, of which Arrow takes hours and days; empty means UTC."""
    return pa.array(times_us, pa.int64()).cast(pa.timestamp("us", tz=zone or _UTC))


def to_utc(local: Any, zone: str, fold: str) -> tuple[Any, Mask]:
    """Return times without a zone as times of UTC, and (n,) which of them are certain; null is.

    A time that the zone has twice is certain if `fold` says which it is; one that it skips never is.
    """
    earlier = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    later = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="earliest")
    is_there = pc.equal(pc.local_timestamp(earlier), local)
    certain = is_there if fold != "refuse" else pc.and_(is_there, pc.equal(earlier, later))
    certain = pc.fill_null(certain, fill_value=True).to_numpy(zero_copy_only=False)
    return (later if fold == "later" else earlier), certain | ~not_null(local)
