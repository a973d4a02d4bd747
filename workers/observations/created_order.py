"""What orders observations of one time, such as when each was written: `WindowSpec.created`.

In: a column, or values of records. Out: pairs of float64, compared one after the other: the nearest number, and what
that lacks. So whole numbers of 64 bits and floats are in one order, exactly, in tables and streams. Knows no rows.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from undertow.core.errors import Refused
from undertow.observations.category_places import Numbers
from undertow.schemas.arrow_columns import Rows, read_numbers
from undertow.schemas.arrow_faults import is_integer
from undertow.schemas.times import parse_time

CREATED = "@created"
"""The column of pairs in the table of records' rows."""
PAIRS = pa.list_(pa.float64(), 2)
"""Its type."""
BEFORE_ALL = (-np.inf, 0.0)
"""Of null."""
_TOO_LARGE = 2.0**63
"""The nearest float64 of the greatest whole numbers of 64 bits, which it is none of."""


def order_of_column(array: Any) -> Numbers:
    """Return (n, 2) pairs of a column of times or numbers. Raises `Refused` for another type."""
    if is_a.is_null(array.type):
        array = array.cast(pa.int64())
    if is_a.is_timestamp(array.type):  # in every driver the same unit
        array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False)
    pairs = np.zeros((len(array), 2))
    if is_integer(array.type) or is_a.is_timestamp(array.type):
        whole: Rows = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        pairs[:, 0] = whole
        fits = pairs[:, 0] < _TOO_LARGE
        lacks = whole - np.where(fits, pairs[:, 0], 0.0).astype(np.int64)
        pairs[:, 1] = np.where(fits, lacks, lacks - np.iinfo(np.int64).max - 1)
        pairs[pc.is_null(array).to_numpy(zero_copy_only=False)] = BEFORE_ALL
    elif is_a.is_floating(array.type):
        numbers = read_numbers(array)
        pairs[:, 0] = np.where(np.isnan(numbers), -np.inf, numbers)
    else:
        message = f"windows.created: expected a column of times or numbers, found {array.type}"
        raise Refused(message)
    return pairs


def order_of_value(value: object) -> tuple[float, float] | None:
    """Return the pair of a value of a record; None for one that is neither a number, a time as text, nor null."""
    if value is None:
        return BEFORE_ALL
    if type(value) is str:
        try:
            value = parse_time(value)
        except ValueError:
            return None
    if type(value) is int:
        near = float(value)
        return near, float(value - int(near))
    if type(value) is float:
        return (value, 0.0) if value == value else BEFORE_ALL  # noqa: PLR0124  # only NaN differs from itself
    return None


def order_of_pairs(array: Any) -> Numbers:
    """Return (n, 2) pairs of a column of them."""
    return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(-1, 2)


def pairs_array(pairs: Numbers) -> Any:
    """Return (n, 2) pairs as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(pairs.ravel(), pa.float64()), type=PAIRS)
