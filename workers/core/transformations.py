"""The functions that a normalizer applies to values before it centres and scales them.

In: an array of float32 or float64. Out: an array of the same dtype, bit-equal with pytorch-forecasting's. Knows no
column and no window.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def _log(y: torch.Tensor) -> torch.Tensor:
    return y.log().clamp(min=-1 / torch.finfo(y.dtype).eps)


def _logit(y: torch.Tensor) -> torch.Tensor:
    eps = torch.finfo(y.dtype).eps
    y = y.clamp(min=eps, max=1.0 - eps)
    return y.log() - (-y).log1p()


def _softplus(y: torch.Tensor) -> torch.Tensor:
    return y.where(y > 20.0, y + (y + torch.finfo(y.dtype).eps).neg().expm1().neg().log())  # noqa: PLR2004 PF's threshold


def _count(y: torch.Tensor) -> torch.Tensor:
    return y + 1


# By torch, since numpy's logarithms differ from torch's in the last bit.
_FORWARD: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "log": _log,
    "log1p": torch.log1p,
    "logit": _logit,
    "count": _count,
    "softplus": _softplus,
    "sqrt": torch.sqrt,
}
NAMES = frozenset({*_FORWARD, "relu"})


def transform(name: str | None, values: NDArray[Any]) -> NDArray[Any]:
    """Return the transformed values; for `None` and `relu` the same array."""
    if name is None or name == "relu":  # pytorch-forecasting applies relu to predictions only
        return values
    result: NDArray[Any] = _FORWARD[name](torch.from_numpy(np.array(values))).numpy()
    return result
