"""Since when files of a view's table are unused: what the Delta log says of files that were removed.

In: the table's place, names of files. Out: times. Changes nothing.
"""

import contextlib
import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.offline_history import DELTA_LOG
from undertow.adapters.offline_table_version import translated_delta
from undertow.core.parquet_files import SUFFIX
from undertow.storage.store_path import AnyPath


def unused_since(root: AnyPath, names: Collection[str]) -> dict[str, float]:
    """Return by name when files of a table were removed from it, in seconds since the epoch, where its log says so.

    The newest commits are read first, and no more than are needed; a checkpoint repeats what earlier ones removed.
    Raises `Refused`, `Unavailable`.
    """
    found: dict[str, float] = {}
    with translated_delta(root):
        paths: list[AnyPath] = [*(root / DELTA_LOG).glob("*")]
        for path in sorted(paths, key=lambda one: one.name, reverse=True):
            if found.keys() >= set(names):
                break
            with contextlib.suppress(FileNotFoundError):  # cleaned since it was listed
                for action in _removed_in(path):
                    name = action["path"].rpartition("/")[2]
                    if name in names and action["deletionTimestamp"] is not None:
                        found.setdefault(name, action["deletionTimestamp"] / 1000)
    return found


def _removed_in(path: AnyPath) -> Iterator[dict[str, Any]]:
    if path.name.endswith(".json"):
        for line in path.read_text("utf-8").splitlines():
            if removed := json.loads(line).get("remove"):
                yield {"deletionTimestamp": None, **removed}
    elif path.name.endswith(f".checkpoint{SUFFIX}"):
        table = pq.read_table(pa.BufferReader(path.read_bytes()), columns=["remove"])
        yield from table["remove"].drop_null().to_pylist()
