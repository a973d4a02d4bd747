"""Layer norm as torch computes it, also inside of compiled code, whose own rounds otherwise.

That matters where all channels are nearly one number, such as the embedding of a category in one channel: torch's norm
is some 1e-5 from the exact one there, and what is compiled must give what the model gave.

In: a tensor and a norm. Out: the normalised tensor. Knows no model.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


@torch.library.custom_op("undertow::layer_norm", mutates_args=())
def _as_it_is(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias, eps)


@_as_it_is.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:  # noqa: ARG001 - as above
    return torch.empty_like(x)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Normalise. Compiled code calls back here, so this module must be imported where it runs."""
    normalised: Tensor = _as_it_is(x, norm.weight, norm.bias, norm.eps)
    return normalised
