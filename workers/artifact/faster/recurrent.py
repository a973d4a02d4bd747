"""Run recurrent layers on padded windows instead of packed ones, by one call of a fast kernel.

The outputs after a window's end are discarded. Only the final state differs, so if anything reads that, windows of
different lengths stay packed.

In: an LSTM or GRU, torch's or pytorch-forecasting's, and whether anything reads its final state. Out: a function that
replaces its forward. Knows no other module.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from undertow.artifact.faster.class_paths import RNN, is_a

LAYERS = nn.LSTM | nn.GRU
GROUP = 64
"""Windows of one call. Batches are sorted by length, so that 64 neighbours need little padding. A choice."""


def faster_recurrent(module: nn.Module, *, stateless: bool) -> Callable[..., Any] | None:
    """Return a faster forward, or None if there is none. If `stateless`, it returns a final state of NaN."""
    if not isinstance(module, LAYERS) or module.bidirectional or not module.batch_first or module.proj_size:
        return None
    if is_a(module, RNN):
        return _of_lengths(module, stateless=stateless)
    return _of_packed(module) if stateless else None


def _of_lengths(module: LAYERS, *, stateless: bool) -> Callable[..., Any]:
    plain = _plain(module)
    packed: Callable[..., Any] = type(module).forward

    def forward(x: Any, hx: Any = None, lengths: Tensor | None = None, enforce_sorted: bool = True) -> Any:  # noqa: FBT001, FBT002
        if not isinstance(x, Tensor) or lengths is None:
            return packed(module, x, hx, lengths, enforce_sorted)
        least, longest = (int(bound) for bound in lengths.aminmax())
        if least == longest and longest > 0:
            return plain(module, x[:, :longest], hx)
        if least == 0 or not stateless:
            return packed(module, x, hx, lengths, enforce_sorted)
        return _run_padded(module, x[:, :longest], hx, lengths)

    return forward


def _of_packed(module: LAYERS) -> Callable[..., Any]:
    def forward(x: Any, hx: Any = None) -> Any:
        if not isinstance(x, PackedSequence):
            return _plain(module)(module, x, hx)
        data, counts, order, back = x
        inside = torch.arange(int(counts[0])) < counts[:, None]  # (t, n), longest window first, as they are packed
        inside = inside.to(data.device)
        padded = data.new_zeros(*inside.shape, data.shape[-1])
        padded[inside] = data
        if hx is not None and order is not None:
            hx = module.permute_hidden(hx, order)
        output, state = _run_padded(module, padded.transpose(0, 1), hx, inside.sum(0))
        return PackedSequence(output.transpose(0, 1)[inside], counts, order, back), state

    return forward


def _run_padded(module: LAYERS, x: Tensor, hx: Any, lengths: Tensor) -> tuple[Tensor, Any]:
    """Return the output, 0 after each window's end, and a state of NaN, since nothing reads it."""
    output = x.new_zeros(*x.shape[:2], module.hidden_size)
    for start in range(0, len(x), GROUP):
        group = slice(start, start + GROUP)
        ends = lengths[group]
        width = int(ends.max())
        begin = None if hx is None else _rows(hx, group)
        steps, _ = _plain(module)(module, x[group, :width], begin)
        behind = torch.arange(width, device=x.device) >= ends[:, None]
        output[group, :width] = steps.masked_fill_(behind[:, :, None], 0.0)
    state = x.new_full((module.num_layers, len(x), module.hidden_size), math.nan)
    return output, (state, state) if isinstance(module, nn.LSTM) else state


def _rows(state: Any, group: slice) -> Any:
    if isinstance(state, tuple):
        return tuple(part[:, group].contiguous() for part in state)
    return state[:, group].contiguous()


def _plain(module: LAYERS) -> Callable[..., Any]:
    return nn.LSTM.forward if isinstance(module, nn.LSTM) else nn.GRU.forward
