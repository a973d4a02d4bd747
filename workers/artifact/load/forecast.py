"""The forecast as a feature: a module behind the model, so that a tap finds it and one forward gives both.

In: a model of pytorch-forecasting, trained or rebuilt. Out: the way to call it with its forecast behind it. Knows no
file and no tap.

The vector holds the targets one after the other, of each the steps ahead, of each step the quantiles.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.known import MULTI_LOSS, is_a
from undertow.core.taps import Call

FORECAST = "forecast"
"""The path of the tap. A model that has a module of this name itself keeps it, and has no forecast."""
QUANTILES = frozenset({"QuantileLoss", "NormalDistributionLoss", "LogNormalDistributionLoss"})
"""Losses with quantiles that are computed; of other distributions they are drawn."""


class Forecast(nn.Module):
    """Turns a model's output into the vector of its forecast."""

    def __init__(self, losses: Sequence[Any]) -> None:
        super().__init__()
        self._losses = tuple(losses)

    def forward(self, output: Any) -> Tensor:
        """Return (n, targets times steps times quantiles)."""
        prediction = output["prediction"]
        parts = prediction if isinstance(prediction, list | tuple) else [prediction]
        return torch.cat([_values(*pair) for pair in zip(self._losses, parts, strict=True)], dim=1)


def is_wanted(model: nn.Module, paths: Iterable[str]) -> bool:
    """Tell whether a tap asks for the forecast, and not for a module of the model's own."""
    return FORECAST in paths and isinstance(_child(model), Forecast | None)


def attach(model: nn.Module) -> Call:
    """Put the forecast behind the model, unless it is there; return how to call the two."""
    head = _child(model)
    if head is None:
        head = Forecast(read_losses(model))
        model.add_module(FORECAST, head)
    return lambda x: head(model(x))


def _child(model: nn.Module) -> Any:
    return dict(model.named_children()).get(FORECAST)


def read_losses(model: Any) -> list[Any]:
    """Return the loss of each target."""
    return list(model.loss.metrics) if is_a(model.loss, MULTI_LOSS) else [model.loss]


def _values(loss: Any, prediction: Tensor) -> Tensor:
    """Return (n, steps times quantiles) of one target, as `predict` of pytorch-forecasting does."""
    values: Tensor = (
        loss.to_quantiles(prediction) if type(loss).__name__ in QUANTILES else loss.to_prediction(prediction)
    )
    return values.flatten(1)
