"""Layer norm with torch's own rounding, also inside compiled code, which would round differently.

The difference matters if all channels are nearly equal, such as a category's embedding in one channel: there torch's
norm is about 1e-5 from the exact one, and compiled code must give what the model gave.

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
    """Apply the norm. Compiled code calls back into this module, so it must be imported where the code runs."""
    normalised: Tensor = _as_it_is(x, norm.weight, norm.bias, norm.eps)
    return normalised
