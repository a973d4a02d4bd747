"""Pool a hidden state of many steps into one vector for each window; padding never counts.

In: the tensor at a tap, the pooling, the lengths. Out: (n, d) float32. Knows neither models nor devices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from undertow.core.errors import Refused
from undertow.core.features import Layout, Pooling
from undertow.schemas.wording import counted

FLAT, STEPPED = 2, 3  # ranks: (n, c) and (n, t, c)


def pool(hidden: Tensor, pools: Sequence[Pooling], lengths: Tensor | None = None) -> Tensor:
    """Pool (n, t, c) over its steps, or pass (n, c) through with the pooling `none`; return (n, d) float32.

    `lengths`: (n,) the number of valid steps of each row, at least 1; None if all t are valid. The vectors of several
    poolings are concatenated. A slice that selects no step of a row gives NaN there. Raises `Refused` for poolings that
    do not fit the shape, and for `AUTO`.

    Examples:
        >>> from torch import tensor
        >>> hidden = tensor([[[1.0], [3.0], [99.0]]])  # one window of two steps, padded to three
        >>> undertow.pool(hidden, undertow.Feature.parse("rnn:last+mean").pools, lengths=tensor([2]))
        tensor([[3., 2.]])
    """
    if not pools:
        message = "expected a pooling, found none (only packing can choose one): name it, as in rnn:last+mean"
        raise Refused(message)
    if hidden.ndim != (FLAT if [part.pool for part in pools] == ["none"] else STEPPED):
        message = (
            f"the pooling {'+'.join(part.pool for part in pools)} does not fit a hidden state of shape "
            f"{tuple(hidden.shape)}: (windows, channels) takes none, (windows, steps, channels) takes the others"
        )
        raise Refused(message)
    values = hidden.float()
    if values.ndim == FLAT:
        return values
    if lengths is None:
        return torch.cat([_pool_whole(part.pool, values[:, part.start : part.stop]) for part in pools], dim=1)
    return torch.cat([_pool_valid(part, values, lengths) for part in pools], dim=1)


def align(hidden: Tensor, layout: Layout, lengths: Tensor | None, width: int) -> tuple[Tensor, Tensor | None]:
    """Shape a hidden state as (n, t, c), or as (n, c) if it has no steps; return also the valid steps of each row.

    `width`: the length to which the inputs were padded. `lengths`: (n,) of the windows; None if all have that length.
    Decoder steps that follow the encoder's are cut off. The second result is (n,), or None if all steps are valid.
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
            f"expected a hidden state of {counted(width + layout.steps, 'step')} for windows of {width}, as "
            f"when the artifact was packed, found the shape {found}"
        )
        raise Refused(message)
    return hidden[:, :width], None if lengths is None else lengths + min(layout.steps, 0)


def _pool_whole(name: str, values: Tensor) -> Tensor:
    """Pool over all steps."""
    if name == "flatten":
        return values.flatten(1)
    if values.shape[1] == 0:
        return values.new_full((values.shape[0], values.shape[2]), torch.nan)
    match name:
        case "first":
            return values[:, 0]
        case "last":
            return values[:, -1]
        case "mean":
            return values.mean(dim=1)
        case _:  # max
            return values.amax(dim=1)


def _pool_valid(part: Pooling, values: Tensor, lengths: Tensor) -> Tensor:
    """Pool the part's slice of the first `lengths` steps; padding has no influence, even if it is NaN."""
    begin, end = _bound(part.start, lengths, 0), _bound(part.stop, lengths, values.shape[1])
    rows = torch.arange(len(values), device=values.device)
    empty = (begin >= end)[:, None]
    match part.pool:
        case "first":
            return values[rows, torch.where(empty[:, 0], 0, begin)].masked_fill(empty, torch.nan)
        case "last":
            return values[rows, torch.where(empty[:, 0], 0, end - 1)].masked_fill(empty, torch.nan)
        case "flatten":
            return _flatten(values, begin, end)
    step = torch.arange(values.shape[1], device=values.device)
    outside = ((step < begin[:, None]) | (step >= end[:, None]))[:, :, None]  # (n, t, 1)
    if part.pool == "mean":
        return values.masked_fill(outside, 0.0).sum(dim=1) / (end - begin)[:, None].masked_fill(empty, 0)
    return values.masked_fill(outside, -torch.inf).amax(dim=1).masked_fill(empty, torch.nan)


def _bound(place: int | None, lengths: Tensor, otherwise: int) -> Tensor:
    """Return (n,) where a slice begins or ends in each row."""
    if place is None:
        place = otherwise
    return torch.minimum((lengths + place if place < 0 else torch.full_like(lengths, place)).clamp(min=0), lengths)


def _flatten(values: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    counts = (end - begin).clamp(min=0)
    count = int(counts.max())
    if int(counts.min()) != count:
        message = (
            "the pooling flatten needs as many steps of every window, since the size of its vector is steps times "
            f"channels, found {int(counts.min())} to {count}; take a slice that the shortest has, such as flatten[-4:]"
        )
        raise Refused(message)
    steps = begin[:, None] + torch.arange(count, device=values.device)  # (n, count)
    return values[torch.arange(len(values), device=values.device)[:, None], steps].flatten(1)
