"""Read the rows to draw from the offline log or any Parquet: an even sample, each key once, of one space.

In: files. Out: `SampledRows`. Knows neither colours nor projections.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from undertow.adapters.offline_history import listed_parts, with_local_parts
from undertow.adapters.offline_parts import require_intact
from undertow.core.errors import Refused
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP, ORIGIN_OFFSET, ORIGIN_PARTITION, SPACE
from undertow.schemas.times import Span
from undertow.storage.store_path import AnyPath
from undertow.view.columns import OURS, SEVERAL, SourceColumns
from undertow.view.sample import Sampler, hash_keys

BATCH_BYTES, MOST_BATCH_ROWS = 8 << 20, 1 << 16
"""What is looked at together: as much as costs little memory, since each batch costs a millisecond or two. Choices."""
# Without pre-buffering, which takes hundreds of megabytes and is no faster here, since most rows are discarded.
SLIM = ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledRows:
    """n rows in random order, so that the first m of them are an even sample, too."""

    vectors: NDArray[np.floating]
    """(n, d), finite."""
    frame: pd.DataFrame
    """All plain columns but the log's own; row i is vector i's."""
    ids: tuple[str, ...]
    """Columns of `frame` that name the entity."""
    event_us: NDArray[np.int64] | None
    feature: str
    space: str | None
    read: int
    """Rows in the source and the span, those of one key and those left out included."""
    unusable: int
    """Rows left out, since they had no time, no vector or one that is not finite."""
    is_sampled: bool


def read_rows(
    source: AnyPath,
    *,
    feature: str | None,
    sample: int,
    span: Span,
    series: Sequence[str] = (),
    space: str | None = None,
) -> SampledRows:
    """Read `sample` rows evenly, in bounded memory. Raises `Refused`, saying which columns or spaces were found.

    `space` is the beginning of the one to read, `series` the columns that name a series where the source is no log.
    """

    def read(files: list[Path]) -> SampledRows:
        if not files:
            message = f"expected a Parquet file, or a folder with some, at {source}; found none"
            raise Refused(message)
        is_ours = require_intact(files)
        try:
            dataset = ds.dataset([str(path) for path in files], format="parquet")
            columns = SourceColumns.of(dataset.schema, feature, series)
            if space is not None:
                _require_space(dataset, columns, space, source)
            return _read(dataset, columns, sample, columns.filter(span, space), source, is_ours=is_ours)
        except (pa.ArrowException, OSError) as error:
            message = f"{source} is no readable Parquet, or its files do not fit together: {error}"
            raise Refused(message) from error

    if isinstance(source, Path) and source.is_file():
        return read([source])
    return with_local_parts(source, read, parts=listed_parts)


def _read(
    dataset: Any, columns: SourceColumns, sample: int, wanted: Any, source: AnyPath, *, is_ours: bool
) -> SampledRows:
    """Read a dataset. Files of ours hold finite vectors only: those of rows that are not chosen are not looked at."""
    sampler, spaces = Sampler(sample), set[str]()
    read = usable = size = 0
    for batch in _batches(dataset, columns, wanted):
        if columns.has_space:
            spaces.update(str(space) for space in pc.unique(batch[SPACE]).to_pylist() if space is not None)
            _refuse_several(spaces, source)
        good = batch if is_ours else _usable(batch, columns)
        if len(good):
            hashes = _hashes(good, columns, read)
            chosen = sampler.choose(hashes)
            taken = good.take(chosen)
            size = _refuse_lengths((taken if is_ours else good)[columns.feature], size)
            sampler.add(taken, hashes[chosen], _order(taken, columns))
        read, usable = read + len(batch), usable + len(good)
    rows = sampler.rows()
    if rows is None:
        message = f"no row to draw in {source}: {read:,} as asked for, none with a vector (feature {columns.feature})"
        raise Refused(message)
    return SampledRows(
        vectors=_matrix(rows[columns.feature]),
        frame=rows.select([name for name in columns.plain if name not in OURS]).to_pandas(integer_object_nulls=True),
        ids=columns.ids,
        event_us=None if columns.time is None else _times(rows, EVENT_TIMESTAMP, asked=True),
        feature=columns.feature,
        space=min(spaces, default=None),
        read=read,
        unusable=read - usable,
        is_sampled=sampler.is_sampled,
    )


def _batches(dataset: Any, columns: SourceColumns, wanted: Any) -> Iterator[pa.Table]:
    names = list(dict.fromkeys([*columns.plain, columns.feature]))
    scanner = dataset.scanner(
        columns=names,
        filter=wanted,
        batch_size=_batch_rows(dataset),
        batch_readahead=0,
        fragment_readahead=0,
        fragment_scan_options=SLIM,
    )
    for batch in scanner.to_batches():
        decoded = [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
        ]
        yield pa.Table.from_arrays(decoded, names=batch.schema.names)


def _batch_rows(dataset: Any) -> int:
    """Return how many rows to read at once, by how large those of the first file with rows are."""
    for fragment in dataset.get_fragments():
        rows = fragment.metadata.num_rows
        if rows:
            size = sum(group.total_byte_size for group in fragment.row_groups)
            return int(min(MOST_BATCH_ROWS, max(1, BATCH_BYTES * rows // max(1, size))))
    return MOST_BATCH_ROWS


def _usable(batch: pa.Table, columns: SourceColumns) -> pa.Table:
    mask = pc.is_valid(batch[columns.feature])
    if columns.time is not None:
        mask = pc.and_(mask, pc.is_valid(batch[EVENT_TIMESTAMP]))
    batch = batch.filter(mask)
    lengths = pc.list_value_length(batch[columns.feature]).to_numpy()
    values = _flat(batch[columns.feature])
    starts = np.append(0, np.cumsum(lengths))
    broken = np.searchsorted(starts, np.flatnonzero(~np.isfinite(values)), side="right") - 1
    is_good = lengths > 0
    is_good[broken] = False
    return batch if is_good.all() else batch.filter(pa.array(is_good))


def _refuse_lengths(vectors: Any, size: int) -> int:
    """Return the number of dimensions. Raises `Refused` where it is not always the same."""
    found = sorted({*pc.unique(pc.list_value_length(vectors)).to_pylist(), *([size] if size else [])})
    if len(found) >= SEVERAL:
        message = f"vectors have {found[0]} and {found[1]} dimensions, so they are not of one space: draw one at a time"
        raise Refused(message)
    return int(found[0])


def _refuse_several(spaces: set[str], source: AnyPath) -> None:
    if len(spaces) >= SEVERAL:
        found = ", ".join(sorted(spaces))
        hint = f"draw one, such as --space {min(spaces)[:8]}"
        message = f"{source} holds several spaces, whose vectors cannot be compared: {found}; {hint}"
        raise Refused(message)


def _require_space(dataset: Any, columns: SourceColumns, space: str, source: AnyPath) -> None:
    wanted, found = columns.filter(Span(), space), set[str]()
    if space and dataset.head(1, columns=[SPACE], filter=wanted).num_rows:
        return
    for batch in dataset.scanner(columns=[SPACE], batch_readahead=0, fragment_readahead=0).to_batches():
        found.update(str(one)[:8] for one in pc.unique(batch.column(0)).to_pylist() if one is not None)
    message = (
        f"no row in {source} is of a space that begins with {space!r}; found {', '.join(sorted(found)) or 'no row'}"
    )
    raise Refused(message)


def _hashes(rows: pa.Table, columns: SourceColumns, first: int) -> NDArray[np.uint64]:
    if not columns.ids or columns.time is None:  # nothing says which rows are one, so each stands alone
        return hash_keys(pd.DataFrame({"row": np.arange(first, first + len(rows))}))
    ids = {name: _hashes_of(rows[name].combine_chunks()) for name in columns.ids}
    return hash_keys(pd.DataFrame({**ids, "event us": _times(rows, EVENT_TIMESTAMP, asked=True)}))


def _hashes_of(ids: Any) -> NDArray[np.uint64]:
    """Return a hash of each id as text. Each text is made once, for a series has many rows."""
    encoded = ids.dictionary_encode(null_encoding="encode")
    texts = pd.DataFrame({"id": np.array([str(one) for one in encoded.dictionary.to_pylist()], object)})
    found: NDArray[np.uint64] = hash_keys(texts)[encoded.indices.to_numpy()]
    return found


def _order(rows: pa.Table, columns: SourceColumns) -> NDArray[np.int64]:
    """Return what tells which of two rows of one key was delivered later, as a join has it (`LogQuery`)."""
    fields = [rows.schema.field(name) for name in (ORIGIN_PARTITION, ORIGIN_OFFSET) if name in rows.schema.names]
    origin = [rows[field.name] for field in fields if pa.types.is_integer(field.type)]
    created = _times(rows, CREATED, asked=columns.has_created)
    order = [created, *(column.cast(pa.int64(), safe=False).fill_null(-1).to_numpy() for column in origin)]
    return np.stack(order, axis=1)


def _times(rows: pa.Table, name: str, *, asked: bool) -> NDArray[np.int64]:
    if not asked:
        return np.zeros(len(rows), np.int64)
    column = rows[name]
    if not pa.types.is_integer(column.type):
        column = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    times: NDArray[np.int64] = column.fill_null(0).to_numpy().astype(np.int64)
    return times


def _flat(vectors: Any) -> NDArray[np.floating]:
    values: NDArray[np.floating] = pc.list_flatten(vectors).to_numpy()
    return values


def _matrix(vectors: Any) -> NDArray[np.floating]:
    return _flat(vectors).reshape(len(vectors), -1)
