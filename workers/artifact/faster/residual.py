"""A gated residual network in fewer operations: two layers folded into one, the context projected once a window.

In: a `GatedResidualNetwork`. Out: a function that replaces its forward in eval mode. Knows no other module.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from undertow.artifact.faster.folding import constant, gate_of, is_plain

STEPPED = 3
"""The number of axes of a tensor with steps: windows, steps, channels."""


def faster_residual(module: Any) -> Callable[..., Tensor] | None:
    """Return a faster forward, or None if the module is not built as expected."""
    if not is_plain(module):
        return None
    first: nn.Linear = module.fc1
    norm: nn.LayerNorm = module.gate_norm.add_norm.norm
    weight, bias = (constant(part, first.weight) for part in gate_of(module))
    weight = weight.T.contiguous()
    resample: nn.Module | None = getattr(module, "resample_norm", None)

    def forward(x: Tensor, context: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
        skip = x if residual is None else residual
        if resample is not None:
            skip = resample(skip)
        hidden = functional.linear(x, first.weight, first.bias)
        if context is not None:
            hidden += project_context(context, module.context.weight)
        mixed = functional.glu(functional.linear(functional.elu_(hidden), weight, bias)).add_(skip)
        return functional.layer_norm(mixed, norm.normalized_shape, norm.weight, norm.bias, norm.eps)

    return forward


def project_context(context: Tensor, weight: Tensor) -> Tensor:
    """Project the context; if its steps share memory (the transformer expands it), project only one of them."""
    if context.ndim == STEPPED and context.stride(1) == 0:
        context = context[:, :1]
    return functional.linear(context, weight)
