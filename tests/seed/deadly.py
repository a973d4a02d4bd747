"""A perceptron that ends its process at one number, and at another never returns: as native code may."""

import os
import time

import torch
from torch import Tensor

from .mlp import MLPForecaster

DEADLY, ENDLESS = 66_666.0, 99_999.0


class DeadlyForecaster(MLPForecaster):
    """As its parent at all other numbers."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x == DEADLY).any()):
            os._exit(9)
        while bool((x == ENDLESS).any()):
            time.sleep(1.0)
        return super().forward(x)


def state(columns: int, length: int, hidden_size: int) -> dict[str, Tensor]:
    """Random weights: the same numbers at every call."""
    torch.manual_seed(0)
    return DeadlyForecaster(columns, length, hidden_size).state_dict()
