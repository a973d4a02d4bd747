"""`undertow series`: which series the offline log has, with their newest event times.

In: the log of a view. Out: batches of series, as a table or a Parquet file. Reads ids and times, no vectors.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from undertow.adapters.offline_history import with_local_parts
from undertow.adapters.offline_names import SEED
from undertow.adapters.offline_parts import require_intact
from undertow.adapters.offline_query import CREATED_US, EVENT_US, ROWS, open_query
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.core.readable import readable
from undertow.history.output import make_folder_of, replacing_output
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP
from undertow.schemas.spaces import SpaceView
from undertow.schemas.times import Span, format_times
from undertow.settings.artifact_paths import only
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath

COUNT = "rows"
FETCH_ROWS = 65_536
STAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSeries:
    """The series of a log that are wanted, and how many there are."""

    view: str
    shown: pa.Table
    """The first of them, newest first: the ids, `event_timestamp` and `created` (UTC), `rows` (int64)."""
    wanted: int
    all: int


def list_series(
    log: AnyPath, view: SpaceView, wanted: Span, *, read_memory_bytes: int, show: int, output: Path | None = None
) -> KnownSeries:
    """List the series of a log, those with the latest windows first; all that are wanted go to the Parquet `output`.

    `wanted` is meant of their newest event times.
    A window that was delivered twice is two rows. Raises `Refused`, `Unavailable`.
    """
    names = [column.name for column in view.series]

    def read(files: list[Path]) -> KnownSeries:
        require_intact(files)
        found = [path for path in files if path.name != SEED]
        shown, count, total = [_empty(view)], 0, 0
        with ExitStack() as held:
            writer = None if output is None else held.enter_context(_writer(output, view))
            for batch in _batches(found, names, read_memory_bytes):
                total += len(batch)
                table = _within(_of_the_log(batch, view), wanted)
                if (left := show - count) > 0:
                    shown.append(table.slice(0, left))
                count += len(table)
                if writer is not None:
                    writer.write_table(table)
        return KnownSeries(view=view.view, shown=pa.concat_tables(shown), wanted=count, all=total)

    return with_local_parts(log, read)


def run(settings: Settings, wanted: Span, *, show: int, output: Path | None) -> KnownSeries:
    """List the series of the project's artifact. Raises as `list_series`."""
    view = read_manifest(only(settings.model.artifacts)).view()
    log = view_folder(settings.offline.path.absolute(), view)
    return list_series(
        log, view, wanted, read_memory_bytes=settings.offline.read_memory_bytes, show=show, output=output
    )


def summary(known: KnownSeries) -> str:
    """Return how many there are, in a sentence."""
    some = f"{known.wanted:,} of {known.all:,} series" if known.wanted < known.all else f"{known.all:,} series"
    left = known.wanted - len(known.shown)
    more = f", {left:,} more than shown (--limit, or -o for a file)" if left and len(known.shown) else ""
    return f"{known.view} has {some}{more}" if known.all else f"{known.view} has no series yet"


def table_for(known: KnownSeries) -> Table:
    """Return what is shown of them, for a terminal."""
    table = Table()
    for name in known.shown.column_names:
        table.add_column(readable(name), overflow="fold", justify="right" if name == COUNT else "left")
    for cells in _texts(known.shown):
        table.add_row(*(Text(readable(cell)) for cell in cells))
    return table


def json_lines(known: KnownSeries) -> Iterator[str]:
    """Return one JSON object for each series that is shown."""
    ids = [name for name in known.shown.column_names if name not in (EVENT_TIMESTAMP, CREATED, COUNT)]
    times = {name: _times(known.shown, name) for name in (EVENT_TIMESTAMP, CREATED)}
    for number, row in enumerate(known.shown.select([*ids, COUNT]).to_pylist()):
        yield json.dumps({**row, **{name: texts[number] for name, texts in times.items()}})


def _batches(files: list[Path], ids: list[str], read_memory_bytes: int) -> Iterator[Any]:
    if not files:
        return
    with (
        tempfile.TemporaryDirectory(prefix="undertow-") as spill,
        open_query(files, ids, [], memory_bytes=read_memory_bytes, spill=Path(spill)) as query,
    ):
        yield from query.known(FETCH_ROWS)


def _of_the_log(batch: Any, view: SpaceView) -> pa.Table:
    columns = [batch[column.name] for column in view.series]
    columns += [batch[name].cast(pa.int64()).cast(STAMP) for name in (EVENT_US, CREATED_US)]
    return pa.Table.from_arrays([*columns, batch[ROWS].cast(pa.int64())], schema=_empty(view).schema)


def _empty(view: SpaceView) -> pa.Table:
    ids = [(column.name, pa.string() if column.type == "string" else pa.int64()) for column in view.series]
    return pa.schema([*ids, (EVENT_TIMESTAMP, STAMP), (CREATED, STAMP), (COUNT, pa.int64())]).empty_table()


def _within(table: pa.Table, wanted: Span) -> pa.Table:
    times = table[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy()
    least = np.iinfo(np.int64).min if wanted.since_us is None else wanted.since_us
    mask = times >= least
    if wanted.until_us is not None:
        mask &= times < wanted.until_us
    return table.filter(pa.array(mask))


def _texts(table: pa.Table) -> Iterator[tuple[str, ...]]:
    columns = [
        _times(table, name) if pa.types.is_timestamp(table[name].type) else _words(table[name], name)
        for name in table.column_names
    ]
    return zip(*columns, strict=True)


def _words(column: Any, name: str) -> list[str]:
    return [f"{cell:,}" if name == COUNT else str(cell) for cell in column.to_pylist()]


def _times(table: pa.Table, name: str) -> list[str]:
    return [*format_times(table[name].cast(pa.int64()).to_numpy())]


@contextmanager
def _writer(output: Path, view: SpaceView) -> Iterator[pq.ParquetWriter]:
    make_folder_of(output)
    with (
        replacing_output(output) as temporary,
        pq.ParquetWriter(temporary, _empty(view).schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield writer
