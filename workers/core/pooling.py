"""From a hidden state of many steps to one vector per window; steps beyond a window's end never count.

In: the tensor at a tap, the pooling, the lengths. Out: (n, d) float32. Knows neither models nor devices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.core.errors import Refused
from workers.core.features import Layout

FLAT, STEPPED = 2, 3  # ranks: (n, c) and (n, t, c)


def pool(hidden: Tensor, pools: Sequence[str], lengths: Tensor | None = None) -> Tensor:
    """Pool (n, t, c), or take (n, c) as it is with the pooling `none`.

    `lengths` (n,) are the valid steps of each row, at least 1, or None where all t are. The poolings are concatenated.
    """
    if hidden.ndim != (FLAT if tuple(pools) == ("none",) else STEPPED):
        message = (
            f"the pooling {'+'.join(pools)} does not fit a hidden state of shape {tuple(hidden.shape)}: "
            "(windows, channels) takes none, (windows, steps, channels) takes the others"
        )
        raise Refused(message)
    values = hidden.float()
    if values.ndim == FLAT:
        return values
    if lengths is None:
        return torch.cat([_pool_whole(part, values) for part in pools], dim=1)
    return torch.cat([_pool_valid(part, values, lengths) for part in pools], dim=1)


def align(hidden: Tensor, layout: Layout, lengths: Tensor | None, width: int) -> tuple[Tensor, Tensor | None]:
    """Shape a hidden state as (n, t, c), or (n, c) where it has no steps; tell how many steps of each row are valid.

    None means all. `width` is the longest window, to which the inputs were padded; `lengths` is None where all are so
    long. Where decoder steps follow the encoder's, only the encoder's are kept.
    """
    found = tuple(hidden.shape)
    hidden = hidden.movedim(layout.batch_axis, 0)
    if layout.rows > 1:
        hidden = hidden.reshape(-1, layout.rows, *hidden.shape[1:])
    if layout.time_axis is None:
        return hidden, None
    hidden = hidden.movedim(layout.time_axis, 1)
    hidden = hidden[:, :, None] if hidden.ndim == FLAT else hidden.flatten(2)
    if layout.steps is None:
        return hidden, None
    if hidden.shape[1] != width + layout.steps:
        message = (
            f"expected a hidden state of {width + layout.steps} steps for windows of {width}, as when the artifact was "
            f"packed, found the shape {found}"
        )
        raise Refused(message)
    return hidden[:, :width], None if lengths is None else lengths + min(layout.steps, 0)


def _pool_whole(part: str, values: Tensor) -> Tensor:
    """Pool where every step is valid."""
    match part:
        case "first":
            return values[:, 0]
        case "last":
            return values[:, -1]
        case "mean":
            return values.mean(dim=1)
        case "max":
            return values.amax(dim=1)
        case _:  # flatten
            return values.reshape(len(values), -1)


def _pool_valid(part: str, values: Tensor, lengths: Tensor) -> Tensor:
    """Pool the first `lengths` steps; whatever stands behind them, NaN too, has no part in it."""
    padding = (torch.arange(values.shape[1], device=values.device) >= lengths[:, None])[:, :, None]  # (n, t, 1)
    match part:
        case "first":
            return values[:, 0]
        case "last":
            return values[torch.arange(len(values), device=values.device), lengths - 1]
        case "mean":
            return values.masked_fill(padding, 0.0).sum(dim=1) / lengths[:, None]
        case "max":
            return values.masked_fill(padding, -torch.inf).amax(dim=1)
        case _:
            message = f"the pooling {part} needs windows of one length: the size of its vector is steps times channels"
            raise Refused(message)
