"""Embeddings read for a picture: an even sample of distinct rows, however many there are.

In: a Parquet file or a folder of parts. Out: `Points`. Knows no projection and no colour.

Each row's place in the sample is decided by a hash of its series and event time: the smallest hashes stay. So the
sample is even, the same each time, takes one pass and little memory, and a row that was delivered twice is in it once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from schemas.embeddings import CREATED, EVENT_TIMESTAMP, ORIGIN_OFFSET, ORIGIN_PARTITION, SPACE
from workers.core.errors import Refused

OURS = (EVENT_TIMESTAMP, CREATED, SPACE, ORIGIN_PARTITION, ORIGIN_OFFSET)
ROW, KEY, VECTOR = "@row", "@key", "@vector"
INDEX = "__index_level_"
"""What pandas calls an index that it writes as a column."""
BATCH_ROWS = 20_000
FEWEST = 5
"""Fewer points have no shape."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """n embeddings of one space, in the order of event time."""

    feature: str
    vectors: NDArray[np.float32]
    """(n, d)"""
    rows: pd.DataFrame
    """(n) ids, event time and whatever else the file and the labels hold."""
    ids: tuple[str, ...]
    """The columns that name the series."""
    space: str | None
    total: int
    """Rows there are, of which these are a sample."""


def read_points(
    source: Path,
    *,
    feature: str | None = None,
    series: Sequence[str] = (),
    space: str | None = None,
    sample: int,
    since_us: int | None = None,
    until_us: int | None = None,
) -> Points:
    """Read an even sample. Raises `Refused` where there is nothing to look at, or more than one space or feature.

    `series` are the columns that name a series; empty are all of text or whole numbers, as in the offline log.
    """
    files = sorted(map(str, source.rglob("*.parquet"))) if source.is_dir() else [str(source)]
    if not files:
        message = f"expected Parquet files below {source}, found none; run undertow run or undertow backfill first"
        raise Refused(message)
    try:
        dataset = ds.dataset(files, format="parquet")
        named = [field for field in dataset.schema if not field.name.startswith(INDEX)]
        dataset = dataset.replace_schema(pa.schema(named))  # and without pandas' own metadata
    except (OSError, pa.ArrowInvalid) as error:
        message = f"expected Parquet in {source}, found none that can be read: {error}"
        raise Refused(message) from error
    chosen = _feature(dataset.schema, feature, source)
    ids = _ids(dataset.schema, series, source)
    more = [name for name in dataset.schema.names if name not in {*OURS, *ids} and not _is_vector(dataset.schema, name)]
    others = [name for name in dataset.schema.names if name in OURS]
    kept, total, spaces = _sample(
        dataset, [*ids, *others, *more, chosen], chosen, ids, sample, _between(since_us, until_us), space
    )
    if len(spaces) > 1:
        found = ", ".join(sorted(spaces))
        message = f"{source} holds embeddings of several spaces, which share no axes; name one by --space: {found}"
        raise Refused(message)
    if len(kept) < FEWEST:
        message = f"expected at least {FEWEST} embeddings of {chosen} in {source}, found {len(kept)}"
        raise Refused(message)
    vectors = np.stack(kept.pop(VECTOR).to_list()).astype(np.float32)
    return Points(feature=chosen, vectors=vectors, rows=kept, ids=ids, space=next(iter(spaces), None), total=total)


def join_labels(points: Points, file: Path) -> Points:
    """Add the columns of another Parquet file that has the same ids, and the event time where it has one too."""
    labels = pd.read_parquet(file)
    keys = [name for name in (*points.ids, EVENT_TIMESTAMP) if name in labels.columns and name in points.rows.columns]
    if not keys:
        message = f"expected in {file} some of the columns {', '.join(points.ids)}, found {', '.join(labels.columns)}"
        raise Refused(message)
    new = [name for name in labels.columns if name not in points.rows.columns]
    unique = labels[[*keys, *new]].drop_duplicates(keys, keep="last")
    if EVENT_TIMESTAMP in keys:
        unique = unique.assign(**{EVENT_TIMESTAMP: pd.to_datetime(unique[EVENT_TIMESTAMP], utc=True)})
        points.rows[EVENT_TIMESTAMP] = pd.to_datetime(points.rows[EVENT_TIMESTAMP], utc=True)
    rows = points.rows.merge(unique, on=keys, how="left")
    return Points(
        feature=points.feature,
        vectors=points.vectors,
        rows=rows,
        ids=points.ids,
        space=points.space,
        total=points.total,
    )


def _is_vector(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _ids(schema: pa.Schema, wanted: Sequence[str], source: Path) -> tuple[str, ...]:
    if missing := sorted(set(wanted) - set(schema.names)):
        message = f"no column {', '.join(missing)} in {source}; there are {', '.join(schema.names)}"
        raise Refused(message)

    def names_series(name: str) -> bool:
        kind = schema.field(name).type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))

    return tuple(wanted) or tuple(name for name in schema.names if name not in OURS and names_series(name))


def _feature(schema: pa.Schema, wanted: str | None, source: Path) -> str:
    there = [name for name in schema.names if _is_vector(schema, name)]
    if wanted in there:
        return str(wanted)
    if wanted is None and len(there) == 1:
        return str(there[0])
    found = ", ".join(there) or "none"
    message = f"expected one column of vectors in {source}, or its name by --feature, found {found}"
    raise Refused(message)


def _between(since_us: int | None, until_us: int | None) -> ds.Expression | None:
    """Build the filter on event time."""
    parts = []
    if since_us is not None:
        parts.append(ds.field(EVENT_TIMESTAMP) >= _time(since_us))
    if until_us is not None:
        parts.append(ds.field(EVENT_TIMESTAMP) < _time(until_us))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts[0] & parts[1]


def _time(time_us: int) -> pa.Scalar:
    return pa.scalar(datetime.fromtimestamp(time_us / 1e6, tz=UTC), pa.timestamp("us", tz="UTC"))


def _sample(
    dataset: ds.Dataset,
    columns: Sequence[str],
    feature: str,
    ids: Sequence[str],
    sample: int,
    between: ds.Expression | None,
    space: str | None,
) -> tuple[pd.DataFrame, int, set[str]]:
    """Return the rows with the smallest hashes, how many rows there are, and their spaces."""
    kept, total, spaces = pd.DataFrame(), 0, set[str]()
    for frame in _frames(dataset, columns, between, space):
        frame[KEY] = _keys(frame, ids, total)
        total += len(frame)
        if SPACE in frame:
            spaces.update(frame[SPACE].unique())
        kept = pd.concat([kept, frame], ignore_index=True)
        if CREATED in kept:
            kept = kept.sort_values([KEY, CREATED], kind="stable")
        kept = kept.drop_duplicates(KEY, keep="last").nsmallest(sample, KEY)
    if not len(kept):
        return kept, total, spaces
    order = [name for name in (EVENT_TIMESTAMP, KEY) if name in kept]
    kept = kept.sort_values(order).drop(columns=KEY).rename(columns={feature: VECTOR}).reset_index(drop=True)
    return kept, total, spaces


def _frames(
    dataset: ds.Dataset, columns: Sequence[str], between: ds.Expression | None, space: str | None
) -> Iterator[pd.DataFrame]:
    for batch in dataset.to_batches(columns=list(columns), filter=between, batch_size=BATCH_ROWS):
        rows = batch
        if space is not None and SPACE in batch.schema.names:
            rows = batch.filter(pc.starts_with(batch[SPACE], space))
        if len(rows):
            yield rows.to_pandas()


def _keys(frame: pd.DataFrame, ids: Sequence[str], first: int) -> NDArray[Any]:
    """Hash what makes a row: its series and event time, or its place where it has none."""
    names = [*ids, *([EVENT_TIMESTAMP] if EVENT_TIMESTAMP in frame else [])]
    if not names:
        frame = pd.DataFrame({ROW: np.arange(first, first + len(frame))})
        names = [ROW]
    return pd.util.hash_pandas_object(frame[names], index=False).to_numpy(np.uint64)
