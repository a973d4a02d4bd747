"""Change the inputs that a data set fills with later observations: no served vector may depend on them.

In: a model's inputs. Out: the same with another future. Knows no model.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from undertow.core.preprocessing import Preprocessing

LEAKS = ": it depends on what is observed after the window, which a data set has and a stream does not"


def with_another_future(x: Mapping[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """Change every decoder input that comes from later observations: targets, unknown reals and categories."""
    codes = {encoder.name: encoder.codes.values() for encoder in preprocessing.encoders}
    cont, cat = x["decoder_cont"].clone(), x["decoder_cat"].clone()
    for column, real in enumerate(preprocessing.reals):
        if real.role in {"unknown", "target"}:
            cont[:, :, column] = _wave(cont[:, :, column])
    for column, categorical in enumerate(preprocessing.categoricals):
        if categorical.role == "unknown":
            cat[:, :, column] = max(codes[categorical.encoder], default=0)
    target = x["decoder_target"]
    changed = [_wave(one) for one in target] if isinstance(target, list | tuple) else _wave(target)
    return {**x, "decoder_cont": cont, "decoder_cat": cat, "decoder_target": changed}


def _wave(values: Tensor) -> Tensor:
    return torch.sin(torch.arange(values.numel(), dtype=values.dtype)).reshape(values.shape) + 0.5
