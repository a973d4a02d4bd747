"""Write embeddings online to any other store that Feast supports, through Feast's own provider.

In: `EmbeddingBatch`es. Out: calls of Feast's `online_write_batch`, with values built from wire bytes. Knows no store.

Most stores overwrite whatever is there, so their rows are read first. That keeps the newest if calls follow each other,
but not with two writers at the same instant. Nor do these stores keep the time of delivery: of equal event times the
row that is written last wins.
"""

import contextlib
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from undertow.adapters import feast_bytes
from undertow.core.errors import Refused, Unavailable
from undertow.core.masking import secrets_in, without
from undertow.schemas.embeddings import EmbeddingBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WRONG = (AttributeError, AssertionError, ImportError, KeyError, NotImplementedError, TypeError, ValueError)
"""What Feast raises for invalid configuration or data."""


class FeastOnline:
    """An `OnlineSink` for every store without an own writer here. Not atomic; one thread at a time."""

    def __init__(self, *, repo_config: Mapping[str, Any], repo: Path, definition: bytes) -> None:
        """Take a Feast config (environment expanded), its folder, and the view as Feast's FeatureView message."""
        # Imported here, since Feast takes 4 s and 400 MB.
        from feast.feature_view import FeatureView  # noqa: PLC0415
        from feast.infra.provider import get_provider  # noqa: PLC0415
        from feast.protos.feast.core.FeatureView_pb2 import FeatureView as Definition  # noqa: PLC0415
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415
        from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415
        from feast.repo_config import RepoConfig  # noqa: PLC0415

        self._entity_key, self._value = EntityKey, Value
        self._config, self._secrets = RepoConfig(**repo_config), [*secrets_in(repo_config)]
        self._config.repo_path = repo
        self._view = FeatureView.from_proto(Definition.FromString(definition))
        self._provider = get_provider(self._config)

    def write(self, batch: EmbeddingBatch) -> int:
        """Write the rows that are newer than the store's, or as new but different; see `OnlineSink`."""
        batch = batch.newest_per_series()
        if not len(batch):
            return 0
        with self._translated():
            return self._write(batch)

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as can be seen without one."""
        columns = self._view.entity_columns
        integer = [column.dtype.to_value_type().name == "INT64" for column in columns]
        ids = [self._value(int64_val=0) if is_integer else self._value(string_val="") for is_integer in integer]
        key = self._entity_key(join_keys=[column.name for column in columns], entity_values=ids)
        with self._translated():
            self._provider.online_read(self._config, self._view, [key])

    def look(self) -> None:
        """Do nothing: data that such a store lost is only noticed by `undertow check`."""

    def close(self) -> None:
        """Drop the store; Feast keeps its connections open until the process ends."""

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _WRONG as error:
            message = f"{self._name()} cannot take view {self._view.name}: {type(error).__name__}: {self._said(error)}"
            raise Refused(message) from None
        except Exception as error:  # noqa: BLE001  each store raises its driver's own errors
            # Retried by the caller, which has its own limit.
            message = f"{self._name()} does not take writes now: {type(error).__name__}: {self._said(error)}"
            raise Unavailable(message) from None

    def _said(self, error: Exception) -> str:
        return textwrap.shorten(without(str(error), self._secrets), 200)  # some drivers print whole clients

    def _write(self, batch: EmbeddingBatch) -> int:
        features = [map(self._value.FromString, feast_bytes.float_lists(v)) for v in batch.features.values()]
        values = [dict(zip(batch.features, row, strict=True)) for row in zip(*features, strict=True)]
        keys, times = self._keys(batch), batch.event_us.tolist()
        data = [
            (keys[row], values[row], _EPOCH + timedelta(microseconds=times[row]), None)
            for row, held in enumerate(self._held(keys, list(batch.features)))
            if held is None or times[row] > held[0] or (times[row] == held[0] and values[row] != held[1])
        ]
        if data:
            self._provider.online_write_batch(self._config, self._view, data, None)
        return len(data)

    def _held(self, keys: list[Any], features: list[str]) -> list[tuple[int, dict[str, Any]] | None]:
        """Return the event time and the values of each series, None if it has none."""
        found = self._provider.online_read(self._config, self._view, keys, features)
        # For a missing series, Feast's Redis store returns the year 1970 and an empty value.
        return [
            (_micros(time), dict(values)) if time and values and values[features[0]].WhichOneof("val") else None
            for time, values in found
        ]

    def _keys(self, batch: EmbeddingBatch) -> list[Any]:
        names = list(batch.series)
        columns = [
            [self._value(string_val=i) if isinstance(i, str) else self._value(int64_val=i) for i in column.tolist()]
            for column in batch.series.values()
        ]
        return [self._entity_key(join_keys=names, entity_values=ids) for ids in zip(*columns, strict=True)]

    def _name(self) -> str:
        return f"the Feast online store of type {self._config.online_store.type}"


def _micros(time: datetime) -> int:
    """Return microseconds since the epoch; Feast's naive times are UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
