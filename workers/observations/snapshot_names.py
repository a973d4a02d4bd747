"""The columns of a snapshot, and the categories in them: each snapshot has the names of its own, numbered for itself.

In: batches of a snapshot, names by number. Out: which of the names are in them; batches with numbers of those alone.
Knows neither series nor bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.observations.open_rows import value_name
from undertow.schemas.arrow_columns import Mask

OPEN = "open:"
"""Before the name of a column of rows whose cells are open."""


def names_used(batches: Iterable[pa.RecordBatch], texts: Mapping[str, Sequence[str]]) -> dict[str, Mask]:
    """Return by column of categories (k,) which of its names are in the batches."""
    used = {name: np.zeros(len(each), np.bool_) for name, each in texts.items()}
    for batch in batches:
        for name, one in _places(batch, texts):
            column = _flat_or_whole(batch, one)
            used[name][column[~np.isnan(column)].astype(np.int64)] = True
    return used


def of_used(texts: Mapping[str, Sequence[str]], used: Mapping[str, Mask]) -> dict[str, list[str]]:
    """Return the names that are used, by their new numbers."""
    return {name: [each[number] for number in np.flatnonzero(used[name]).tolist()] for name, each in texts.items()}


def renumbered(batch: pa.RecordBatch, used: Mapping[str, Mask]) -> pa.RecordBatch:
    """Return a batch with the numbers of the names that are used, counted without the others."""
    for name, one in _places(batch, used):
        numbers = np.append(np.cumsum(used[name]) - 1.0, np.nan)  # NaN, at the end, stays
        column = _flat_or_whole(batch, one)
        changed = numbers[np.where(np.isnan(column), -1.0, column).astype(np.int64)]
        is_list = not one.startswith("said:")
        array = lists(np.diff(batch.column(one).offsets.to_numpy()), changed) if is_list else pa.array(changed)
        batch = batch.set_column(batch.schema.get_field_index(one), one, array)
    return batch


def flat(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """Return all elements of a column of lists."""
    return np.asarray(batch.column(name).flatten().to_numpy(zero_copy_only=False))


def whole(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """Return a column of numbers."""
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False))


def lists(counts: NDArray[np.int64], column: NDArray[np.generic]) -> Any:
    """Return a column of lists, of so many elements each."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, pa.array(column))


def _places(batch: pa.RecordBatch, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the columns of categories, each with those of a batch that hold them."""
    for name in names:
        for one in (f"said:{name}", f"cell:{name}", f"{OPEN}{value_name(name)}"):
            if one in batch.schema.names:
                yield name, one


def _flat_or_whole(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    return whole(batch, name) if name.startswith("said:") else flat(batch, name)
