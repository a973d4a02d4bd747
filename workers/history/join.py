"""A point-in-time (as-of) join of a user's rows with the vectors of the offline log.

In: a Parquet file of ids and times, the log. Out: a Parquet file with the same rows in the same order, each with the
newest vectors at or before its time. Knows no model and no Feast: views' ttls do not count here.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from undertow.adapters.offline_history import with_local_parts
from undertow.adapters.offline_parts import require_intact
from undertow.adapters.offline_query import AGE_US, ROW, open_query
from undertow.core.errors import Refused
from undertow.history.ordering import in_order
from undertow.history.output import make_folder_of, replacing_output
from undertow.history.rows import BATCH_ROWS, EntityRows
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath

FOUND, AGE = "found", "age_seconds"
GROUP_BYTES = 32 << 20
"""Bytes of vectors in a row group of the output, which bounds the memory in which it is assembled. A choice."""
FETCH_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The result of a join."""

    rows: int
    found: int


def join(
    source: Path,
    output: Path,
    *,
    log: AnyPath,
    view: SpaceView,
    read_memory_bytes: int,
    time: str = "event_timestamp",
    tolerance_s: int | None = None,
    prefix: str = "",
    is_bare: bool = False,
) -> Joined:
    """Write `output` atomically; return how many rows found vectors.

    `log` is the folder of the space's parts. A row gets the vectors of its series with the greatest event time at or
    before its own (at most `tolerance_s` older, if given); of several with that event time, those delivered last. Added
    columns are the features (lists of float32, null if nothing was found) and, unless `is_bare`, `found` (bool) and
    `age_seconds` (float64, how much older the vectors are), all with `prefix` before their names. Raises `Refused`.
    """
    if output.exists() and output.samefile(source):
        message = f"expected another file than {source} for the output (-o)"
        raise Refused(message)
    asked = EntityRows(source, ids={column.name: column.type for column in view.series}, time=time)
    features = [name for name, _ in view.features]
    added = [f"{prefix}{name}" for name in (*features, *(() if is_bare else (FOUND, AGE)))]
    _refuse_clash(source, asked.schema.names, added)
    kinds = [*(pa.list_(pa.float32()) for _ in features), pa.bool_(), pa.float64()]
    schema = asked.schema
    for name, kind in zip(added, kinds, strict=False):
        schema = schema.append(pa.field(name, kind))
    row_bytes = 4 * sum(size for _, size in view.features)

    def write(files: list[Path]) -> int:
        if not files:
            message = f"no parts of {view.view} below {log}; run `undertow backfill` or `undertow run` first"
            raise Refused(message)
        require_intact(files)
        make_folder_of(output)
        found = first = 0
        with (
            tempfile.TemporaryDirectory(prefix=".undertow-", dir=output.parent) as spill,
            open_query(
                files, list(asked.ids), features, memory_bytes=read_memory_bytes // 2, spill=Path(spill, "duckdb")
            ) as query,
            replacing_output(output) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            matches = query.as_of(
                asked.questions(),
                tolerance_us=None if tolerance_s is None else tolerance_s * 1_000_000,
                batch_rows=FETCH_ROWS,
            )
            # A block is held two or three times while it is sorted.
            block_rows = max(1, read_memory_bytes // 8 // row_bytes)
            answers = _Answers(in_order(matches, ROW, rows=len(asked), block_rows=block_rows, folder=Path(spill)))
            for batch in asked.batches(min(BATCH_ROWS, max(1, GROUP_BYTES // row_bytes))):
                columns = answers.of(first, first + len(batch), features)
                writer.write_table(pa.Table.from_arrays([*batch.columns, *columns[: len(added)]], schema=schema))
                first += len(batch)
                found += pc.sum(columns[-2]).as_py() or 0
        return found

    return Joined(rows=len(asked), found=with_local_parts(log, write))


def _refuse_clash(source: Path, own: Sequence[str], added: Sequence[str]) -> None:
    if clash := sorted({name for name in added if name in own}):
        message = f"{source} has columns of its own that are called {', '.join(clash)}; name the new ones by --prefix"
        raise Refused(message)
    if len(set(added)) < len(added):
        message = f"a feature is called as a column of the join is, {FOUND} or {AGE}; leave these out: --bare"
        raise Refused(message)


class _Answers:
    """The vectors found, in order of the rows, returned for consecutive ranges of rows."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._ahead: list[pa.Table] = []

    def of(self, first: int, last: int, features: list[str]) -> list[Any]:
        """Return the new columns of the rows `first <= row < last`, null where nothing was found."""
        mine: list[pa.Table] = []
        while (table := self._ahead.pop() if self._ahead else next(self._tables, None)) is not None:
            here = int(np.searchsorted(table[ROW].to_numpy(), last))
            mine.append(table.slice(0, here))
            if here < len(table):
                self._ahead.append(table.slice(here))
                break
        places = np.full(last - first, -1)
        if not mine:
            lists = [pa.nulls(last - first, pa.list_(pa.float32())) for _ in features]
            return [*lists, pa.array(places >= 0), pa.nulls(last - first, pa.float64())]
        table = pa.concat_tables(mine).combine_chunks()
        places[table[ROW].to_numpy() - first] = np.arange(len(table))
        taken = table.take(pa.array(places, mask=places < 0))
        lists = [taken[name].combine_chunks().cast(pa.list_(pa.float32())) for name in features]
        # Beyond 285 years microseconds are no exact float64; the time 9999-12-31, for no end, is common.
        age = pc.divide(taken[AGE_US].combine_chunks().cast(pa.float64(), safe=False), 1e6)
        return [*lists, pa.array(places >= 0), age]
