"""Compare the online store with the log, by looking up a sample of series.

In: a view and its parts. Out: a sentence. Knows no store. Cheap, and no proof: a store that was lost or switched lacks
nearly all series, but a sample says little about single ones.

Stream and backfill write vectors online before they append them to the log, so every series in the log must be online,
with the same event time or a newer one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from undertow.adapters.feast_times import online_times
from undertow.adapters.offline_history import listed_parts, with_parts
from undertow.adapters.offline_names import SEED
from undertow.adapters.offline_parts import read_part
from undertow.core.errors import Refused
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.schemas.wording import are, counted
from undertow.settings.sections import FeastSettings
from undertow.storage.store_path import AnyPath

FILES, ROWS = 8, 5
"""How many parts are opened, and how many rows of each are looked up, evenly spread. A choice: 40 look-ups are
cheap."""
SECOND_US = 1_000_000


def compare_online(feast: FeastSettings, view: SpaceView, log: AnyPath) -> str:
    """Return how many series were looked up, in words. Raises `Refused` if some are missing or older online."""
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
    """A sample of the log's series, and how large it is."""

    newest: Mapping[tuple[Any, ...], int]
    """By series, an event time that the log has, in microseconds since the epoch."""
    series: int
    """How many series are in the opened parts."""
    opened: int
    parts: int
    """How many parts the log has."""

    def __str__(self) -> str:
        """Describe the sample in words."""
        parts = f"{self.opened:,} of {counted(self.parts, 'part')}"
        return f"looked at {len(self.newest):,} of {self.series:,} series in {parts} of the offline log"


def _sample(log: AnyPath, view: SpaceView) -> Sample:
    return with_parts(log, lambda files: _sample_of(files, view), parts=listed_parts)


def _sample_of(found: list[AnyPath], view: SpaceView) -> Sample:
    newest: dict[tuple[Any, ...], int] = {}
    listed: list[pa.Table] = []
    names = [column.name for column in view.series]
    files = [path for path in found if path.name != SEED]  # without the one that has only the schema
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
