"""The Feast repository of the cases that write by `FeatureStore.push`, and how any case's rows are read back.

In: a folder and a Redis. Out: a feature store, pushes, and rows as a stock Feast reader sees them. Knows no model.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.types import Array, Float32
from numpy.typing import NDArray

VIEW = "by_hand"
SOURCE = "by_hand_push"
FEATURE = "embedding"


def open_store(folder: Path, redis: str) -> FeatureStore:
    """Open the repository, whose online store is the given Redis (`host:port`)."""
    return FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "redis", "connection_string": redis},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    )


def make_repo(folder: Path, redis: str) -> None:
    """Register one view with one push source."""
    history = folder / "history.parquet"
    rows_of([], np.empty((0, 0), np.float32)).to_parquet(history)
    series = Entity(name="series", join_keys=["series"], value_type=ValueType.STRING)
    source = PushSource(
        name=SOURCE, batch_source=FileSource(name="history", path=str(history), timestamp_field="event_timestamp")
    )
    view = FeatureView(
        name=VIEW, entities=[series], schema=[Field(name=FEATURE, dtype=Array(Float32))], source=source, online=True
    )
    open_store(folder, redis).apply([series, source, view])


def rows_of(windows: list[dict], vectors: NDArray[np.float32]) -> pd.DataFrame:
    """Return the table that `FeatureStore.push` takes."""
    return pd.DataFrame(
        {
            "series": pd.Series([window["series"]["series"] for window in windows], dtype="object"),
            "event_timestamp": pd.to_datetime([window["end"] for window in windows], utc=True),
            FEATURE: pd.Series(list(vectors), dtype="object"),
        }
    )


def push(store: FeatureStore, windows: list[dict], vectors: NDArray[np.float32]) -> None:
    """Make the embeddings of the windows readable online."""
    store.push(SOURCE, rows_of(windows, vectors))


def read(store: FeatureStore, feature: str, series: list[str]) -> dict[str, tuple[datetime, NDArray[np.float32]]]:
    """Return event time and vector of each series that is readable; `feature` is `view:name`."""
    answer = store.get_online_features([feature], [{"series": name} for name in series]).to_dict(
        include_event_timestamps=True
    )
    name = feature.split(":")[1]
    return {
        key: (datetime.fromtimestamp(seconds, UTC), np.asarray(vector, np.float32))
        for key, vector, seconds in zip(series, answer[name], answer[f"{name}__ts"], strict=True)
        if vector is not None
    }
