"""Fold chains of linear layers into single matrices, in float64, so that folding loses no precision.

In: modules of pytorch-forecasting's temporal fusion transformer. Out: matrices and biases. Knows no batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.class_paths import GATED_RESIDUAL, is_exactly


def double(parameter: Tensor) -> Tensor:
    """Return a parameter's numbers as float64."""
    return parameter.detach().double()


def constant(folded: Tensor, like: Tensor) -> Tensor:
    """Return a folded matrix in the dtype and on the device of `like`."""
    return folded.to(like.dtype).contiguous()


def gate_of(module: Any) -> tuple[Tensor, Tensor]:
    """Return matrix (in, 2 * out) and bias of the second and the gating layer, which follow each other directly."""
    gating, second = module.gate_norm.glu.fc, module.fc2
    weight = double(gating.weight) @ double(second.weight)
    return weight.T, double(gating.weight) @ double(second.bias) + double(gating.bias)


def skip_of(module: Any) -> tuple[Tensor, nn.LayerNorm | None]:
    """Return the matrix (in, out) of the residual path, and the norm after it, if there is one."""
    if not hasattr(module, "resample_norm"):
        return torch.eye(module.output_size, dtype=torch.float64, device=module.fc1.weight.device), None
    resampling = module.resample_norm
    return interpolation_of(resampling) * gate_of_resampling(resampling).double(), resampling.norm


def interpolation_of(module: Any) -> Tensor:
    """Return the matrix (in, out) of a resampling's first operation, linear interpolation."""
    matrix = torch.eye(module.input_size, dtype=torch.float64, device=module.norm.weight.device)
    if module.input_size != module.output_size:
        matrix = module.resample.interpolate(matrix)
    return matrix


def gate_of_resampling(module: Any) -> Tensor:
    """Return the factor by which a resampling multiplies then, before its norm."""
    if not module.trainable_add:
        return torch.ones_like(module.norm.weight)
    return torch.sigmoid(module.mask.detach()) * 2.0


def is_plain(module: Any) -> bool:
    """Whether the module is a gated residual network of the structure that these functions expect."""
    if not is_exactly(module, GATED_RESIDUAL) or (module.residual and module.input_size != module.output_size):
        return False
    add = module.gate_norm.add_norm
    expected: bool = add.input_size == add.skip_size and not add.trainable_add
    return expected and module.fc1.weight.dtype == torch.float32
