"""Tell which columns of a Parquet schema are the feature and the ids, and filter rows by event time.

In: an Arrow schema. Out: `SourceColumns` and the filter for a scan. Knows no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from undertow.core.errors import Refused
from undertow.schemas.embeddings import CREATED, EVENT_TIMESTAMP, ORIGIN_OFFSET, ORIGIN_PARTITION, SPACE
from undertow.schemas.times import Span

SEVERAL = 2
OURS = (EVENT_TIMESTAMP, CREATED, SPACE, ORIGIN_PARTITION, ORIGIN_OFFSET)
"""The log's own columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumns:
    """The meaning of a source's columns."""

    feature: str
    plain: tuple[str, ...]
    """All columns that are neither lists nor structs."""
    ids: tuple[str, ...]
    time: pa.DataType | None
    """The type of the event timestamp; None if there is none."""
    has_created: bool
    has_space: bool

    @classmethod
    def of(cls, schema: pa.Schema, feature: str | None, series: Sequence[str] = ()) -> "SourceColumns":
        """Tell the columns apart. Raises `Refused` for a feature or a series that is not there, or not told.

        Without `series` a row's key is, as in the log, what stands before its time.
        """
        vectors = [field.name for field in schema if _is_vector(field.type)]
        if not vectors or (feature is not None and feature not in vectors):
            close = get_close_matches(feature or "", vectors, 1)
            wanted = f"a feature {feature!r}" if feature else "a column of lists of floats"
            hint = f"; closest: {close[0]!r}" if close else ""
            found = ", ".join(vectors) or ", ".join(f"{field.name}: {field.type}" for field in schema)
            message = f"expected {wanted}, found {found}{hint}"
            raise Refused(message)
        if feature is None and len(vectors) >= SEVERAL:
            message = f"there are several features: {', '.join(vectors)}; choose one with --feature"
            raise Refused(message)
        has_time = EVENT_TIMESTAMP in schema.names
        time = schema.field(EVENT_TIMESTAMP).type if has_time else None
        if time is not None and not _is_time(time):
            message = f"expected {EVENT_TIMESTAMP} as a timestamp or as integer microseconds, found {time}"
            raise Refused(message)
        plain = tuple(field.name for field in schema if not pa.types.is_nested(field.type))
        if missing := [name for name in series if name not in plain]:
            message = f"expected the columns of --series, {', '.join(missing)}, among {', '.join(plain)}"
            raise Refused(message)
        before = schema.names[: schema.names.index(EVENT_TIMESTAMP)] if has_time else []
        before = [name for name in before if name not in OURS and _is_id(schema.field(name).type)]
        return cls(
            feature=feature or vectors[0],
            plain=plain,
            ids=tuple(series or before),
            time=time,
            has_created=CREATED in schema.names and _is_time(schema.field(CREATED).type),
            has_space=SPACE in schema.names,
        )

    def filter(self, span: Span, space: str | None = None) -> Any:
        """Return an Arrow expression, None for all rows. Raises `Refused` where rows have no time or no space."""
        if self.time is None and (span.since_us, span.until_us) != (None, None):
            message = f"expected a column {EVENT_TIMESTAMP} for --since and --until, found {', '.join(self.plain)}"
            raise Refused(message)
        if space is not None and not self.has_space:
            message = f"expected a column {SPACE} for --space, found {', '.join(self.plain)}"
            raise Refused(message)
        parts = [] if space is None else [pc.starts_with(ds.field(SPACE).cast(pa.string()), space)]
        if span.since_us is not None:
            parts.append(ds.field(EVENT_TIMESTAMP) >= self._moment(span.since_us))
        if span.until_us is not None:
            parts.append(ds.field(EVENT_TIMESTAMP) < self._moment(span.until_us))
        return reduce(and_, parts) if parts else None

    def _moment(self, time_us: int) -> Any:
        if pa.types.is_integer(self.time):
            return pa.scalar(time_us, pa.int64())
        return pa.scalar(time_us, pa.timestamp("us", getattr(self.time, "tz", None)))


def _is_vector(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind))


def _is_id(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))
