"""Derive a view's TTL from the gaps between the windows of a series.

In: the log. Out: a ttl for Feast, and the reason in a sentence. Knows no Feast.

Feast's point-in-time join pairs each requested row with every older row of its series within the ttl. So the ttl should
span the usual gaps, so that a value is found, but not many more than a hundred windows.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undertow.adapters.offline_history import listed_parts, with_local_parts
from undertow.adapters.offline_query import open_query
from undertow.core.durations import show_duration
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath

SERIES = 200
"""How many series are sampled. A choice."""
LONGEST_GAPS, USUAL_GAPS = 2, 100
"""A ttl is this many times the longest gap, but at most this many times the median gap, which bounds the cost of a
row."""
SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ttl:
    """A ttl and where it comes from."""

    seconds: int
    reason: str


def derive_ttl(gaps_us: NDArray[np.int64]) -> Ttl | None:
    """Derive a ttl from the gaps between consecutive windows, in microseconds; None if there is no gap."""
    if not len(gaps_us):
        return None
    longest, usual = int(gaps_us.max()), int(np.median(gaps_us))
    us = min(LONGEST_GAPS * longest, USUAL_GAPS * usual)
    seconds = max(1, -(-us // SECOND_US))
    count = f"{len(gaps_us):,} gaps between windows of a series"
    if us == LONGEST_GAPS * longest:
        return Ttl(seconds=seconds, reason=f"twice the longest of {count}")
    beyond = int((gaps_us > us).sum())
    reason = (
        f"{USUAL_GAPS} times the usual one of {count}; {beyond:,} of them were longer, "
        f"up to {show_duration(longest // SECOND_US)}"
    )
    return Ttl(seconds=seconds, reason=reason)


def ttl_of_log(log: AnyPath, view: SpaceView, *, read_memory_bytes: int) -> Ttl | None:
    """Derive a ttl from a sample of the log's series; None if no series has two windows yet."""

    def read(files: list[Path]) -> Ttl | None:
        if not files:
            return None
        with (
            tempfile.TemporaryDirectory(prefix="undertow-") as spill,
            open_query(
                files, [c.name for c in view.series], (), memory_bytes=read_memory_bytes, spill=Path(spill)
            ) as query,
        ):
            return derive_ttl(query.gaps(SERIES))

    return with_local_parts(log, read, parts=listed_parts)
