"""A perceptron that ends its process at one number, at another never returns, at a third passes its layer by."""

import os
import time

import torch
from torch import Tensor, nn

from .mlp import MLPForecaster

DEADLY, ENDLESS, ASIDE = 66_666.0, 99_999.0, 33_333.0


class DeadlyForecaster(MLPForecaster):
    """As its parent at all other numbers. At `entry` is what it is given."""

    def __init__(self, columns: int, length: int, hidden_size: int) -> None:
        super().__init__(columns, length, hidden_size)
        self.entry = nn.Unflatten(1, (columns * length,))  # the same, of this one length

    def forward(self, x: Tensor) -> Tensor:
        if bool((x == DEADLY).any()):
            os._exit(9)
        while bool((x == ENDLESS).any()):
            time.sleep(1.0)
        if bool((x == ASIDE).any()):
            return x.sum(dim=1, keepdim=True)
        return super().forward(self.entry(x))


def state(columns: int, length: int, hidden_size: int) -> dict[str, Tensor]:
    """Random weights: the same numbers at every call."""
    torch.manual_seed(0)
    return DeadlyForecaster(columns, length, hidden_size).state_dict()
