"""Synthetic windows that fit an artifact's input contract, deterministic on every machine.

In: an `InputContract` and the `Preprocessing` behind it. Out: a `WindowBatch` that fits. Knows no model and no random
generator.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.core.preprocessing import Preprocessing
from undertow.core.scalers import FixedScaler, RangeScaler
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.windows import Values, WindowBatch

ColumnGroup = Literal["series", "past", "future", "static"]

SAMPLES = 6
GOLDEN = 0.6180339887498949


def sample_lengths(contract: InputContract) -> NDArray[np.int64]:
    """Return the lengths of the sample windows, longest first."""
    return np.linspace(contract.max_length, contract.min_length, SAMPLES).round().astype(np.int64)


def sample_windows(
    contract: InputContract,
    preprocessing: Preprocessing,
    lengths: NDArray[np.int64],
    other: Mapping[tuple[ColumnGroup, str], int] = MappingProxyType({}),
) -> WindowBatch:
    """Return one window of each length, with categories from training and numbers that scale to moderate values.

    If steps may be missing, every third one is. `other` maps (part of the window, column) to a number from 1: that
    column then holds other values than usual, different ones for each number.
    """
    count, steps = len(lengths), int(lengths.sum())
    columns = [*contract.past, *contract.future, *contract.static]
    ranges = sample_ranges(preprocessing)

    def fill(part: ColumnGroup, column: Column, size: int) -> Values:
        salt = 1 + columns.index(column) + len(columns) * other.get((part, column.name), 0)
        spread = np.modf((np.arange(size) + 1) * GOLDEN * salt + salt * 0.37)[0]  # spread evenly over (0, 1)
        if column.categories is not None:
            picked = (spread * len(column.categories)).astype(np.int64).tolist()
            return np.array([column.categories[index] for index in picked], object)
        low, high = ranges.get(column.name, (0.1, 0.9))  # every transformation of a target accepts (0, 1)
        numbers: NDArray[np.float64] = low + (high - low) * spread
        return numbers

    place = np.arange(steps) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    missing = contract.allows_gaps & (place % 3 == 1) & (place < np.repeat(lengths, lengths) - 1)
    past = {column.name: fill("past", column, steps) for column in contract.past}
    for values in past.values():
        empty: Any = None if values.dtype == object else np.nan
        values[missing] = empty
    return WindowBatch(
        series={
            column.name: _ids(column, preprocessing, count, other.get(("series", column.name), 0))
            for column in contract.series
        },
        end_us=np.arange(count, dtype=np.int64) * 1_000_000,
        lengths=lengths,
        past=past,
        future={
            column.name: fill("future", column, count * contract.horizon).reshape(count, contract.horizon)
            for column in contract.future
        },
        static={column.name: fill("static", column, count) for column in contract.static},
    )


def _ids(column: IdColumn, preprocessing: Preprocessing, count: int, first: int) -> Values:
    rows = range(first, first + count)
    codes = {encoder.name: encoder.codes for encoder in preprocessing.encoders}
    names = [group[1] for group in preprocessing.groups if group is not None and group[0] == column.name]
    known = list(codes[names[0]]) if names else []
    if column.type == "integer":
        return np.array([int(known[row % len(known)]) if known else row for row in rows], np.int64)
    return np.array([str(known[row % len(known)]) if known else f"series-{row}" for row in rows], object)


def sample_ranges(preprocessing: Preprocessing) -> dict[str, tuple[float, float]]:
    """Return, for each real with a fixed scaler, the numbers that scale to -1.5 and 1.5 (or to 0 and 1)."""
    scalers = {real.name: real.scaler for real in preprocessing.reals}
    scalers |= {target.name: target.scaler for target in preprocessing.targets}
    ranges = {
        name: (-scaler.offset / scaler.factor, (1.0 - scaler.offset) / scaler.factor)
        for name, scaler in scalers.items()
        if isinstance(scaler, RangeScaler)
    }
    return ranges | {
        name: (scaler.center - 1.5 * scaler.scale, scaler.center + 1.5 * scaler.scale)
        for name, scaler in scalers.items()
        if isinstance(scaler, FixedScaler) and scaler.transformation is None
    }
