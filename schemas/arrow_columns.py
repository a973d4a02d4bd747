"""Convert Arrow columns to the arrays of a `WindowBatch`, with masks of valid elements.

In: an Arrow array, and its column of the contract. Out: a numpy array, without a copy if Arrow's layout allows, and
which elements are valid. Knows neither which types are accepted (`undertow.schemas.arrow_faults`) nor how to explain a
fault (`undertow.schemas.window_faults`), but must agree with the latter on what is valid.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.times import FIRST_US, LAST_US
from undertow.schemas.window_faults import FLOAT32_MAX, LONGEST_ID
from undertow.schemas.windows import Values

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_TICKS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_US_PER_S = 1_000_000


def read_ids(array: Any, column: IdColumn) -> tuple[Values, Mask]:
    """Return an id column (n,), int64 or object of str, and (n,) which ids are valid."""
    ids, valid = check_ids(array, column)
    if column.type == "integer":
        return _filled(ids, 0), valid
    return _objects(ids)[0], valid


def check_ids(array: Any, column: IdColumn) -> tuple[Any, Mask]:
    """Return an id column of Arrow's int64 or string, and (n,) which ids are valid."""
    valid = not_null(array)
    if column.type == "integer":
        return _of_type(array, pa.int64()), valid
    texts = _of_type(array, pa.string())
    sizes = _filled(pc.binary_length(texts), 0)
    return texts, valid & (sizes > 0) & (sizes <= LONGEST_ID)


def read_ends(array: Any) -> tuple[Rows, Mask]:
    """Return event times (n,) in microseconds since the epoch, UTC, and (n,) which are valid."""
    ticks_per_s = _TICKS_PER_S[array.type.unit] if pa.types.is_timestamp(array.type) else _US_PER_S
    ticks: Rows = _filled(array.cast(pa.int64()), 0)
    valid = not_null(array)
    if ticks_per_s > _US_PER_S:
        # Finer digits must be 0: cutting them off could give two windows of a series the same event time.
        step = ticks_per_s // _US_PER_S
        ends, valid = ticks // step, valid & (ticks % step == 0)
    else:
        step = _US_PER_S // ticks_per_s
        fits = (ticks >= -(-FIRST_US // step)) & (ticks <= LAST_US // step)
        ends, valid = np.where(fits, ticks, 0) * step if step > 1 else ticks, valid & fits
    return ends, valid & (ends >= FIRST_US) & (ends <= LAST_US)


def read_elements(array: Any, column: Column) -> tuple[Values, Mask]:
    """Return a column's elements: numbers as float64, categories as strings; NaN and None for null.

    A null category is valid if the model has a class for unknown ones.
    """
    if column.categories is None:
        numbers = read_numbers(array)
        return numbers, np.abs(numbers) <= FLOAT32_MAX  # false for NaN too
    texts, names, places = _objects(array.cast(pa.string()))
    valid = np.ones(len(array), np.bool_) if column.accepts_unknown else not_null(array)
    if not column.accepts_unknown:
        known = frozenset(column.categories)
        valid &= np.fromiter((name in known for name in names), np.bool_, len(names))[places]
    return texts, valid


def read_numbers(array: Any) -> NDArray[np.float64]:
    """Return numbers as float64; NaN for null."""
    numbers: NDArray[np.float64] = _of_type(array, pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def read_lists(array: Any) -> tuple[Any, Rows, Mask]:
    """Return all lists' elements, (n + 1,) where each list begins and the last ends, and (n,) which are not null."""
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    offsets = array.offsets.to_numpy().astype(np.int64)
    return array.values.slice(offsets[0], offsets[-1] - offsets[0]), offsets - offsets[0], not_null(array)


def all_of_row(valid: Mask, starts: Rows) -> Mask:
    """Return (n,) whether all elements of a row are valid."""
    rows = np.ones(len(starts) - 1, np.bool_)
    rows[np.searchsorted(starts, np.flatnonzero(~valid), side="right") - 1] = False
    return rows


def find_gaps(lists: Sequence[tuple[Any, Rows]]) -> list[Mask]:
    """Mark the elements at missing steps, which are null in all of the columns.

    `lists` has each column's elements, and where its lists begin. The first and the last step are never marked.
    """
    # Encode (list, step) as one number: sets of pairs would take a hundred times the memory.
    span = max((int(np.diff(starts).max(initial=0)) for _, starts in lists), default=0) + 1
    places = []
    for elements, starts in lists:
        steps = np.flatnonzero(~not_null(elements))
        rows = np.searchsorted(starts, steps, side="right") - 1
        inside = (steps > starts[rows]) & (steps < starts[rows + 1] - 1)
        places.append(rows[inside] * span + (steps - starts[rows])[inside])
    shared = reduce(np.intersect1d, places)
    gaps = [np.zeros(len(elements), np.bool_) for elements, _ in lists]
    for mask, (_, starts) in zip(gaps, lists, strict=True):
        mask[starts[shared // span] + shared % span] = True
    return gaps


def take_lists(values: Values, starts: Rows, rows: Rows) -> Values:
    """Return the elements of some lists, in the given order."""
    lengths = np.diff(starts)[rows]
    begins = np.repeat(starts[rows] - (np.cumsum(lengths) - lengths), lengths)
    return values[begins + np.arange(len(begins))]


def not_null(array: Any) -> Mask:
    """Return (n,) which elements are not null."""
    if array.null_count == 0:
        return np.ones(len(array), np.bool_)
    mask: Mask = array.is_valid().to_numpy(zero_copy_only=False)
    return mask


def _of_type(array: Any, kind: Any) -> Any:
    """Return an array in another type: a cast that changes nothing takes as long as one that does."""
    return array if array.type == kind else array.cast(kind, safe=not pa.types.is_float64(kind))


def _filled(array: Any, number: int) -> Any:
    """Return numbers, with another for null."""
    return (pc.fill_null(array, number) if array.null_count else array).to_numpy(zero_copy_only=False)


def _objects(texts: Any) -> tuple[Values, list[str | None], Rows]:
    """Return strings (equal ones share an object), the distinct strings (None first), and each one's index in these."""
    encoded = texts.dictionary_encode()
    names = [None, *encoded.dictionary.to_pylist()]
    places = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False) + 1
    return np.array(names, object)[places], names, places
