"""Compute centre and scale for each window, bit-equal with what pytorch-forecasting computes window by window.

In: a scaler, and the codes or the encoder steps that it depends on. Out: (centre, scale), two numbers or two arrays
with one entry for each window. Knows no column names and no model.
"""

from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.core.encoding import Codes
from undertow.core.scalers import FixedScaler, GroupScaler, GroupTable, WindowScaler
from undertow.core.transformations import transform

Norm = tuple[Any, Any]
"""(centre, scale): two floats for all windows, or two arrays (n,)."""
EPS = np.finfo(np.float32).eps


def trained_norm(scaler: FixedScaler | GroupScaler, codes: Codes) -> Norm:
    """Return centre and scale from training for each window, in float64."""
    if isinstance(scaler, FixedScaler):
        return scaler.center, scaler.scale
    norms = [_table_norms(table, codes) for table in scaler.tables]
    mean = norms[0]
    if len(norms) > 1:
        for other in norms[1:]:
            mean = mean * other
        mean = np.power(mean, 1.0 / len(norms))
    return mean[:, 0], mean[:, 1]


def _table_norms(table: GroupTable, codes: Codes) -> NDArray[np.float64]:
    columns = [codes["series", column, encoder].tolist() for column, encoder in table.ids]
    found = map(table.norms.get, zip(*columns, strict=True), repeat(table.missing))
    count = len(columns[0])
    return np.fromiter(chain.from_iterable(found), np.float64, 2 * count).reshape(count, 2)


def window_norm(
    scaler: WindowScaler,
    values: NDArray[np.float32],
    lengths: NDArray[np.int64],
    scattered: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return centre and scale, (n,) float32 each, of the first `lengths` steps of `values` (n, t).

    torch sums a column inside a matrix (strided) in another order than a contiguous array. A data set keeps each column
    contiguous, as the data frame had it, and so does this function. The exception are the `scattered` windows (n,):
    the data set fills their missing steps by copying the matrix row by row, which leaves the column strided, unless a
    transformation makes a contiguous array of it again.
    """
    count = len(lengths)
    if scaler.method == "identity" or count == 0:
        return np.zeros(count, np.float32), np.ones(count, np.float32)
    transformed = transform(scaler.transformation, values)
    if scattered is not None and (transformed is not values or not scattered.any()):
        scattered = None
    values = np.ascontiguousarray(transformed)

    def reduce(steps: int | None, function: Callable[[torch.Tensor], torch.Tensor]) -> NDArray[np.float32]:
        result = np.empty(count, np.float32)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            block = torch.from_numpy(values if len(rows) == count else values[rows])
            result[rows] = function(block[:, _first(steps, length) : length]).numpy()
        return result

    def average(steps: int | None) -> NDArray[np.float32]:
        result = reduce(steps, _mean)
        return result if scattered is None else np.where(scattered, reduce(steps, _mean_of_scattered), result)

    if scaler.method == "standard":
        center = average(scaler.center_steps)
        same = scaler.scale_steps == scaler.center_steps
        mean = center if same else average(scaler.scale_steps)
        scale = _deviation(values, mean, lengths, scaler.scale_steps) + EPS
    else:
        lower, middle, upper = scaler.quantiles
        center = reduce(scaler.center_steps, lambda block: block.quantile(middle, dim=-1))
        high = reduce(scaler.scale_steps, lambda block: block.quantile(upper, dim=-1))
        low = reduce(scaler.scale_steps, lambda block: block.quantile(lower, dim=-1))
        scale = (high - low) / np.float32(2.0) + EPS
    return (center if scaler.center else np.zeros_like(center)), scale


def _first(steps: int | None, length: int) -> int:
    return 0 if steps is None else max(0, length - steps)


def _mean(block: torch.Tensor) -> torch.Tensor:
    return block.mean(dim=-1)


def _mean_of_scattered(block: torch.Tensor) -> torch.Tensor:
    return torch.stack([block, block], dim=-1)[..., 0].mean(dim=-1)


def _deviation(
    values: NDArray[np.float32], mean: NDArray[np.float32], lengths: NDArray[np.int64], steps: int | None
) -> NDArray[np.float32]:
    """Return the standard deviation (n,) as `torch.std` computes it for a single window.

    That is: squares of differences from a float32 mean, summed one by one in float64. For many windows at once
    `torch.std` uses another algorithm, by which 1 in 400 results differs.
    """
    used = lengths if steps is None else np.minimum(lengths, steps)
    step = np.arange(values.shape[1])
    inside = (step < lengths[:, None]) & (step >= (lengths - used)[:, None])
    distance = np.where(inside, values.astype(np.float64) - mean[:, None].astype(np.float64), 0.0)
    squares = np.cumsum(distance * distance, axis=1)[:, -1]
    deviation: NDArray[np.float32] = np.sqrt(squares / (used - 1)).astype(np.float32)
    return deviation
