"""Recurrent layers of pytorch-forecasting, run on padded windows instead of packed ones: one call of a fast kernel.

In: an `RNN`, and whether anything reads its final state. Out: a function that does what its forward does. Knows no
other module.
"""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_forecasting.models.nn.rnn import GRU, LSTM
from torch import Tensor, nn


def faster_recurrent(module: nn.Module, *, stateless: bool) -> Callable[..., Any] | None:
    """Return a faster forward, or None for what runs backwards too. If `stateless`, the state is left undefined."""
    if not isinstance(module, LSTM | GRU) or module.bidirectional or not module.batch_first:
        return None
    plain: Callable[..., Any] = nn.LSTM.forward if isinstance(module, LSTM) else nn.GRU.forward
    packed = type(module).forward

    def forward(x: Any, hx: Any = None, lengths: Tensor | None = None, enforce_sorted: bool = True) -> Any:  # noqa: FBT001, FBT002
        if not isinstance(x, Tensor) or lengths is None:
            return packed(module, x, hx, lengths, enforce_sorted)
        least, longest = (int(bound) for bound in lengths.aminmax())
        if least == longest and longest > 0:
            return plain(module, x[:, :longest], hx)
        if least == 0 or not stateless:
            return packed(module, x, hx, lengths, enforce_sorted)
        output, state = plain(module, x[:, :longest], hx)
        behind = torch.arange(longest, device=x.device) >= lengths[:, None]
        return output.masked_fill_(behind[:, :, None], 0.0), state

    return forward
