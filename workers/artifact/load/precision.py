"""Forwards in lower precision than float32, by torch.autocast; the precision is part of the space.

In: the function that calls a model. Out: the same under autocast, and the tolerance for comparing forwards. Knows no
model.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.core.errors import Refused
from undertow.core.taps import Call

TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 1e-6, "bfloat16": 2.0**-5})
"""The largest difference of a window's vector between batches, relative to its largest number (or to 1 if smaller).

bfloat16 has 8 significant bits; 3 of them are allowed for sums in another order, which round to a neighbouring number,
and for the error's growth in later layers."""

_NO_SUCH_KERNEL = "could not create a primitive"  # oneDNN's words


def in_precision(call: Call, precision: Precision, device: torch.device) -> Call:
    """Return a call that computes in this precision."""
    if precision == FLOAT32:
        return call

    def narrowed(x: Any) -> object:
        try:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return call(x)
        except RuntimeError as error:
            if _NO_SUCH_KERNEL not in str(error):
                raise
            message = (
                "this processor has no bfloat16 form of a layer of the model (an LSTM needs AVX-512 or AMX: lscpu); "
                f"run it on one that has, or pack the model without --precision; torch says: {str(error).split('.')[0]}"
            )
            raise Refused(message) from error

    return narrowed
