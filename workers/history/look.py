"""Compare the online store with the log, by looking up a sample of series.

In: a view and its parts. Out: a verdict in a sentence. Cheap, and so no proof: a store that was lost or switched lacks
nearly all, and a few that are there say little of the rest.

Vectors are written online before they become durable in the log, by stream and backfill alike, so what the log has must
be online, with the same event time or a newer one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from undertow.adapters.feast_times import online_times
from undertow.adapters.offline_parts import part_files, read_part
from undertow.core.errors import Refused
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.schemas.wording import are, counted
from undertow.settings.sections import FeastSettings

FILES, ROWS = 8, 5
"""So many parts are opened, and so many rows of each are looked at, all evenly spread."""
SECOND_US = 1_000_000


def compare_online(feast: FeastSettings, view: SpaceView, log: Path) -> str:
    """Return how many series were looked up and found. Raises `Refused` where some are missing or older online."""
    sample = _sample(log, view)
    if not sample.newest:
        return "the offline log has no row to compare it with"
    names = [column.name for column in view.series]
    found = online_times(feast, view, [dict(zip(names, ids, strict=True)) for ids in sample.newest])
    behind = [
        ids
        for (ids, logged_us), online_s in zip(sample.newest.items(), found, strict=True)
        if online_s is None or online_s < logged_us // SECOND_US
    ]
    if behind:
        example = ", ".join(f"{name}={one}" for name, one in zip(names, behind[0], strict=True))
        message = (
            f"view {view.view}: {sample}: {len(behind):,} {are(len(behind))} missing or older online, such as "
            f"{example}; fill the store from the log: undertow rebuild"
        )
        raise Refused(message)
    return f"{sample}: all there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some series of the log, and how much of it they are."""

    newest: Mapping[tuple[Any, ...], int]
    """By series, an event time that the log has of it, in microseconds."""
    series: int
    """So many are in the parts that were opened."""
    opened: int
    parts: int
    """Of the whole log."""

    def __str__(self) -> str:
        """Say what was looked at, and of how much."""
        parts = f"{self.opened:,} of {counted(self.parts, 'part')}"
        return f"looked at {len(self.newest):,} of {self.series:,} series in {parts} of the offline log"


def _sample(log: Path, view: SpaceView) -> Sample:
    newest: dict[tuple[Any, ...], int] = {}
    listed: list[pa.Table] = []
    names = [column.name for column in view.series]
    files = [path for path in part_files(log) if path.parent != log]  # but for the one that only has the schema
    opened = _spread(files, FILES) if files else []
    for path in opened:
        table = read_part(path, [*names, EVENT_TIMESTAMP])
        if not len(table):
            continue
        listed.append(table.select(names).group_by(names).aggregate([]))
        table = table.take(_spread(range(len(table)), ROWS))
        times = table[EVENT_TIMESTAMP].cast(pa.int64()).to_pylist()
        for ids, time_us in zip(zip(*(table[name].to_pylist() for name in names), strict=True), times, strict=True):
            newest[ids] = max(time_us, newest.get(ids, time_us))
    series = pa.concat_tables(listed).group_by(names).aggregate([]).num_rows if listed else 0
    return Sample(newest=newest, series=series, opened=len(opened), parts=len(files))


def _spread(items: Any, count: int) -> list[Any]:
    """Return `count` of the items or all of them, evenly spread, the last among them. There must be one at least."""
    return [items[place] for place in np.unique(np.linspace(len(items) - 1, 0, count).astype(int))]
