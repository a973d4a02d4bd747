"""Snapshots without some series: what is left where a series is forgotten.

In: the bytes of a snapshot, the keys of series. Out: how many of them it holds; the bytes of one without them. Knows
neither ids nor where snapshots lie.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.observations.held_snapshot import OPEN, flat, lists, read_about, read_batches, seal, whole
from undertow.observations.open_rows import value_name
from undertow.observations.series_keys import Keys, KeyTable
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

    texts: Mapping[str, list[str]] = about["names"]
    used = {name: np.zeros(len(each), np.bool_) for name, each in texts.items()}
    for batch in kept():
        for name, column in _categories(batch, texts):
            used[name][column[~np.isnan(column)].astype(np.int64)] = True
    about["names"] = {name: [each[number] for number in np.flatnonzero(used[name])] for name, each in texts.items()}
    return seal((_renumbered(batch, texts, used) for batch in kept()), about, None)


def _are_there(batch: pa.RecordBatch, table: KeyTable) -> Mask:
    found = table.find(np.stack([whole(batch, "key_0"), whole(batch, "key_1")], axis=1))
    there: Mask = found >= 0
    return there


def _places(name: str, batch: pa.RecordBatch) -> list[str]:
    """Return the columns of a batch that hold categories of this name."""
    wanted = (f"said:{name}", f"cell:{name}", f"{OPEN}{value_name(name)}")
    return [one for one in wanted if one in batch.schema.names]


def _categories(batch: pa.RecordBatch, texts: Mapping[str, list[str]]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name in texts:
        for one in _places(name, batch):
            yield name, whole(batch, one) if one.startswith("said:") else flat(batch, one)


def _renumbered(batch: pa.RecordBatch, texts: Mapping[str, list[str]], used: Mapping[str, Mask]) -> pa.RecordBatch:
    for name in texts:
        numbers = np.append(np.cumsum(used[name]) - 1.0, np.nan)  # NaN, at the end, stays
        for one in _places(name, batch):
            is_list = not one.startswith("said:")
            column = flat(batch, one) if is_list else whole(batch, one)
            changed = numbers[np.where(np.isnan(column), -1.0, column).astype(np.int64)]
            array = lists(np.diff(batch.column(one).offsets.to_numpy()), changed) if is_list else pa.array(changed)
            batch = batch.set_column(batch.schema.get_field_index(one), one, array)
    return batch
