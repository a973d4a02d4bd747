"""Labels from a file of their own, joined to the rows to draw.

In: a Parquet or CSV file with id columns and, where labels change in time, `event_timestamp`. Out: the frame with the
labels as further columns. Knows neither vectors nor colours.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from undertow.core.errors import Refused
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.view.read import SampledRows

CSV = ".csv"


def join_labels(rows: SampledRows, path: Path) -> tuple[SampledRows, tuple[str, ...]]:
    """Return the rows with the file's columns, and their names; a row without a label holds nulls there.

    A label holds for every row that has its ids, of one event time where the file has one. Raises `Refused`.
    """
    labels = _load(path, rows.ids)
    keys = [name for name in rows.ids if name in labels]
    if not keys:
        message = (
            f"expected labels with one or more of the id columns {', '.join(rows.ids) or '(the source has none)'} "
            f"in {path}, found {', '.join(map(str, labels.columns))}"
        )
        raise Refused(message)
    left = rows.frame[keys].astype(str)
    labels[keys] = labels[keys].astype(str)
    if EVENT_TIMESTAMP in labels and rows.event_us is not None:
        labels[EVENT_TIMESTAMP] = _microseconds(labels[EVENT_TIMESTAMP], path)
        left[EVENT_TIMESTAMP] = rows.event_us
        keys.append(EVENT_TIMESTAMP)
    twice = labels[labels.duplicated(keys)]
    if len(twice):
        found = ", ".join(f"{name}={twice.iloc[0][name]}" for name in keys)
        message = f"expected one label for each {', '.join(keys)} in {path}, found more than one for {found}"
        raise Refused(message)
    names = tuple(str(name) for name in labels.columns if name not in keys)
    joined = left.merge(labels, on=keys, how="left", indicator=True)
    if not (joined["_merge"] == "both").any():
        example = ", ".join(f"{name}={left.iloc[0][name]}" for name in keys)
        message = f"no row has a label in {path}: none for {example}, which is the first row's (integers are us)"
        raise Refused(message)
    frame = rows.frame.drop(columns=[name for name in names if name in rows.frame])
    return replace(rows, frame=frame.assign(**{name: joined[name].to_numpy() for name in names})), names


def _load(path: Path, ids: tuple[str, ...]) -> pd.DataFrame:
    try:
        # Ids of digits stay as they are written: 007 is no 7.
        if path.suffix == CSV:
            return pd.read_csv(path, dtype=dict.fromkeys(ids, str))
        return pd.read_parquet(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        message = f"expected labels as a Parquet file, or as CSV named {CSV}, at {path}: {error}"
        raise Refused(message) from error


def _microseconds(times: "pd.Series[Any]", path: Path) -> "pd.Series[int]":
    if pd.api.types.is_integer_dtype(times):
        return times.astype(np.int64)
    try:
        stamps = pd.to_datetime(times, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        message = f"expected {EVENT_TIMESTAMP} in {path} as ISO 8601, timestamps or integer microseconds: {error}"
        raise Refused(message) from error
    return stamps.dt.as_unit("us").astype(np.int64)
