"""Embeddings as a columnar batch: the embedder's output, and every sink's input.

In: arrays. Out: `EmbeddingBatch` and the Arrow schema of the offline log. Knows no store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.schemas.windows import Values

EVENT_TIMESTAMP, CREATED, SPACE = "event_timestamp", "created", "space"
ORIGIN_PARTITION, ORIGIN_OFFSET = "origin_partition", "origin_offset"
LOG_COLUMNS = (EVENT_TIMESTAMP, CREATED, SPACE, ORIGIN_PARTITION, ORIGIN_OFFSET)
"""The offline log's own columns; ids and features must have other names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingBatch:
    """n embeddings of one space. The key of a row is (series ids, event time, space)."""

    space: str
    """The full space id (64 hex digits)."""
    series: Mapping[str, Values]
    """Id columns, each (n,), int64 or object of str."""
    event_us: NDArray[np.int64]
    """(n,) event time: microseconds since the epoch, UTC."""
    created_us: NDArray[np.int64]
    """(n,) when the record was delivered, in microseconds since the epoch, UTC. Of rows with the same key, the one with
    the greatest value counts (`undertow.stream.order`). The embedder sets 0."""
    features: Mapping[str, NDArray[np.float32]]
    """Vectors by feature name, each (n, d) float32, C-contiguous and finite."""

    def __len__(self) -> int:
        return len(self.event_us)

    def take(self, rows: NDArray[np.int64]) -> "EmbeddingBatch":
        """Copy the given rows, in the given order."""
        return EmbeddingBatch(
            space=self.space,
            series={name: column[rows] for name, column in self.series.items()},
            event_us=self.event_us[rows],
            created_us=self.created_us[rows],
            features={name: vectors[rows] for name, vectors in self.features.items()},
        )

    @classmethod
    def concat(cls, batches: Sequence["EmbeddingBatch"]) -> "EmbeddingBatch":
        """Join batches of one space, in order. There must be at least one."""
        first = batches[0]
        return cls(
            space=first.space,
            series={name: np.concatenate([b.series[name] for b in batches]) for name in first.series},
            event_us=np.concatenate([b.event_us for b in batches]),
            created_us=np.concatenate([b.created_us for b in batches]),
            features={name: np.concatenate([b.features[name] for b in batches]) for name in first.features},
        )

    def newest_per_series(self) -> "EmbeddingBatch":
        """Keep, of each series, the row of the newest event time; of equal times the one delivered last."""
        columns = [np.asarray(column) for column in self.series.values()]
        order = list(zip(self.event_us.tolist(), self.created_us.tolist(), strict=True))
        newest: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            if (held := newest.get(key)) is None or order[row] > order[held]:
                newest[key] = row
        if len(newest) == len(self):
            return self
        return self.take(np.fromiter(newest.values(), np.int64, len(newest)))


def offline_schema(series: Mapping[str, str], features: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of a part of the offline log.

    `series` maps each id column to "string" or "integer". Of rows with the same series and `event_timestamp`, the one
    with the greatest `created` counts; earlier versions did not make that unique (`undertow.stream.order`). Timestamps
    are microseconds in UTC, since Feast's DuckDB store turns nanoseconds into strings; vectors are lists of float32.
    The origin columns name the record of a row; they are null in a backfill.
    """
    ids = [pa.field(name, pa.string() if kind == "string" else pa.int64()) for name, kind in series.items()]
    return pa.schema(
        [
            *ids,
            pa.field(EVENT_TIMESTAMP, pa.timestamp("us", tz="UTC")),
            pa.field(CREATED, pa.timestamp("us", tz="UTC")),
            *(pa.field(name, pa.list_(pa.float32())) for name in features),
            pa.field(SPACE, pa.string()),
            pa.field(ORIGIN_PARTITION, pa.int32()),
            pa.field(ORIGIN_OFFSET, pa.int64()),
        ]
    )
