"""Split a batch into forward passes, and turn their arrays into tensors.

In: lengths, arrays, a device. Out: the rows of each forward; tensors. Knows no model.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WASTE = 2
"""A chunk ends before its padding would exceed 1/WASTE of a full forward. More chunks would mean less padding, but each
forward has a fixed cost, too."""

RowIndex = NDArray[np.int64]
ModelInputs = Mapping[str, Any]
"""Arrays by name, or one list of arrays for several targets."""


def cut(lengths: RowIndex, max_steps: int, max_windows: int | None = None) -> Iterator[RowIndex]:
    """Yield the rows of each forward: shortest windows first, so that little is padded.

    No chunk has more than `max_steps` (windows times steps, padding included) or `max_windows`.
    """
    order = np.argsort(lengths, kind="stable")
    while len(order):
        rest = lengths[order[:max_windows]]
        padded = rest * np.arange(1, len(rest) + 1)  # the padded size of a chunk that ends with this row
        fits = (padded <= max_steps) & ((padded - np.cumsum(rest)) * WASTE <= max_steps)
        count = len(rest) if fits.all() else max(1, int(np.argmin(fits)))
        yield order[:count]
        order = order[count:]


def select(x: ModelInputs, rows: RowIndex, width: int) -> ModelInputs:
    """Take some rows, with their encoder steps padded to `width` only."""
    if len(rows) == len(x["encoder_lengths"]) and bool((np.diff(rows) == 1).all()):
        return x  # all rows in their order: nothing to copy, and they are padded to the longest already

    def take(name: str, array: NDArray[Any]) -> NDArray[Any]:
        trim = name.startswith("encoder_") and name != "encoder_lengths"
        return array[rows, :width] if trim else array[rows]

    return {
        name: [take(name, one) for one in value] if isinstance(value, list | tuple) else take(name, value)
        for name, value in x.items()
    }


def to_tensors(x: ModelInputs, device: torch.device) -> dict[str, Any]:
    """Wrap the arrays as tensors; for a GPU, copy them asynchronously through pinned memory."""

    def move(array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor

    return {
        name: [move(one) for one in value] if isinstance(value, list | tuple) else move(value)
        for name, value in x.items()
    }
