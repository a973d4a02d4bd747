"""A forward in narrower numbers than float32, by torch.autocast, as the artifact's space says.

In: how a model is called. Out: the same call under autocast, and how near two such forwards must be. Knows no model.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from workers.artifact.spaces import FLOAT32, Precision
from workers.core.taps import Call

TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 1e-6, "bfloat16": 2.0**-5})
"""Of a vector, in units of its largest number or of 1: what the same window may differ by in another batch.

bfloat16 has 8 bits, less three here: a sum in another order is rounded to a neighbour, and what follows carries that
on."""


def in_precision(call: Call, precision: Precision, device: torch.device) -> Call:
    """Return a call that computes in these numbers."""
    if precision == FLOAT32:
        return call

    def narrowed(x: Any) -> object:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return call(x)

    return narrowed
