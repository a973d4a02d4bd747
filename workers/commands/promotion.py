"""What readers will notice when `undertow apply --promote` switches them to another space.

In: the registered views, the view to be promoted, the offline log. Out: lines of text. Changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.feast_registry import HeldView
from undertow.adapters.offline_chains import chain_folders
from undertow.adapters.offline_history import table_files
from undertow.adapters.offline_names import BACKFILLS, part_names
from undertow.adapters.offline_parts import part_files, translated
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_seal import read_tail
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath

BEHIND = timedelta(minutes=1)
"""An older history is reported only if it is behind by more: two live streams of one topic differ by seconds."""


def compare_with_served(view: SpaceView, held: Mapping[str, HeldView], log: AnyPath) -> Iterator[str]:
    """Yield what readers of the view's name will notice; nothing if it is served already, or none is served."""
    served = next((name for name, one in held.items() if view.name in one.services and name != view.view), None)
    if served is None:
        return
    before = held[served]
    if before.series != view.series:
        yield (
            f"{view.name}: {view.view} is asked for by {_ids(view.series)}, {served} was by {_ids(before.series)}: "
            "readers must send the new keys"
        )
    new = newest_event(view_folder(log, view))
    old = newest_event(view_folder(log, before.as_view(view)))
    if new is None:
        yield f"{view.name}: {view.view} has no history here: readers find nothing before a backfill or a stream"
    elif old is not None and old - new > BEHIND:
        yield (
            f"{view.name}: the newest window of {view.view} is of {new.isoformat()}, that of {served}, served till now,"
            f" of {old.isoformat()}: readers get older vectors until a backfill or the stream has caught up"
        )


def newest_event(home: AnyPath) -> datetime | None:
    """Return the newest event time in the last part of each chain, in backfills and the table, by statistics."""
    lasts = [folder / names[-1] for folder in chain_folders(home) if (names := part_names(folder))]
    table = table_files(home)
    last_day = max((path.parent.name for path in table), default="")
    files = [*lasts, *part_files(home / BACKFILLS), *(path for path in table if path.parent.name == last_day)]
    return max((at for path in files for at in _newest_of(path)), default=None)


def _newest_of(path: AnyPath) -> Iterator[datetime]:
    with translated(path), path.open("rb") as file:
        found = pq.read_metadata(pa.BufferReader(read_tail(file).footer))
    place = found.schema.to_arrow_schema().get_field_index(EVENT_TIMESTAMP)
    for group in range(found.num_row_groups):
        statistics = found.row_group(group).column(place).statistics
        if statistics is not None and statistics.has_min_max:
            yield statistics.max


def _ids(series: Iterable[IdColumn]) -> str:
    return ", ".join(f"{one.name} ({one.type})" for one in series)
