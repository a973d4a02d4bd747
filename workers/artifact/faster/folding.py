"""What a chain of linear layers folds to, in double precision, so that folding loses nothing.

In: modules of pytorch-forecasting's temporal fusion transformer. Out: their maps as matrices. Knows no batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.known import GATED_RESIDUAL, is_exactly


def double(parameter: Tensor) -> Tensor:
    """Return its numbers, to calculate with."""
    return parameter.detach().double()


def constant(folded: Tensor, like: Tensor) -> Tensor:
    """Return what was calculated, as the forward needs it."""
    return folded.to(like.dtype).contiguous()


def gate_of(module: Any) -> tuple[Tensor, Tensor]:
    """Return matrix (in, 2 * out) and bias of its second and its gating layer, between which nothing happens."""
    gating, second = module.gate_norm.glu.fc, module.fc2
    weight = double(gating.weight) @ double(second.weight)
    return weight.T, double(gating.weight) @ double(second.bias) + double(gating.bias)


def skip_of(module: Any) -> tuple[Tensor, nn.LayerNorm | None]:
    """Return the matrix (in, out) that the residual passes through, and the norm behind it, if there is one."""
    if not hasattr(module, "resample_norm"):
        return torch.eye(module.output_size, dtype=torch.float64, device=module.fc1.weight.device), None
    resampling = module.resample_norm
    return interpolation_of(resampling) * gate_of_resampling(resampling).double(), resampling.norm


def interpolation_of(module: Any) -> Tensor:
    """Return the matrix (in, out) of what it does first: linear interpolation."""
    matrix = torch.eye(module.input_size, dtype=torch.float64, device=module.norm.weight.device)
    if module.input_size != module.output_size:
        matrix = module.resample.interpolate(matrix)
    return matrix


def gate_of_resampling(module: Any) -> Tensor:
    """Return what it multiplies by then, before its norm."""
    if not module.trainable_add:
        return torch.ones_like(module.norm.weight)
    return torch.sigmoid(module.mask.detach()) * 2.0


def is_plain(module: Any) -> bool:
    """Whether it is a gated residual network as these foldings know it."""
    if not is_exactly(module, GATED_RESIDUAL) or (module.residual and module.input_size != module.output_size):
        return False
    add = module.gate_norm.add_norm
    expected: bool = add.input_size == add.skip_size and not add.trainable_add
    return expected and module.fc1.weight.dtype == torch.float32
