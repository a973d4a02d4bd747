"""A forward in narrower numbers than float32, by torch.autocast, as the artifact's space says.

In: how a model is called. Out: the same call under autocast, and how near two such forwards must be. Knows no model.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.core.errors import Refused
from undertow.core.taps import Call

TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 1e-6, "bfloat16": 2.0**-5})
"""Of a vector, in units of its largest number or of 1: what the same window may differ by in another batch.

bfloat16 has 8 bits, less three here: a sum in another order is rounded to a neighbour, and what follows carries that
on."""

_NO_SUCH_KERNEL = "could not create a primitive"  # oneDNN's words


def in_precision(call: Call, precision: Precision, device: torch.device) -> Call:
    """Return a call that computes in these numbers."""
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
