"""Snapshots without some series: what is left where a series is forgotten.

In: the bytes of a snapshot, the keys of series. Out: how many of them it holds; the bytes of one without them. Knows
neither ids nor where snapshots lie.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from undertow.observations.held_snapshot import read_about, read_batches, seal
from undertow.observations.series_keys import Keys, KeyTable
from undertow.observations.snapshot_names import names_used, of_used, renumbered, whole
from undertow.schemas.arrow_columns import Mask


def has_any(content: bytes, keys: Keys) -> bool:
    """Return whether a snapshot holds any of these series. Raises `Refused` if it is damaged."""
    read_about(content)
    table = KeyTable(keys)
    return any(_are_there(batch, table).any() for batch in read_batches(content))


def without(content: bytes, keys: Keys) -> memoryview | None:
    """Return a snapshot without these series, nor categories that no other one has; None if it holds none of them.

    All else in it is as it was: other series lose nothing. Raises `Refused` if it is damaged.
    """
    if not has_any(content, keys):
        return None
    about = read_about(content)
    table = KeyTable(keys)

    def kept() -> Iterator[pa.RecordBatch]:
        return (batch.filter(pa.array(~_are_there(batch, table))) for batch in read_batches(content))

    used = names_used(kept(), about["names"])
    about["names"] = of_used(about["names"], used)
    return seal((renumbered(batch, used) for batch in kept()), about, None)


def _are_there(batch: pa.RecordBatch, table: KeyTable) -> Mask:
    found = table.find(np.stack([whole(batch, "key_0"), whole(batch, "key_1")], axis=1))
    there: Mask = found >= 0
    return there
