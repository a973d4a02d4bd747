"""The forecast as a feature: a module after the model, which can be tapped, so that one forward gives both.

In: a model of pytorch-forecasting, trained or rebuilt. Out: a function that calls it and its forecast. Knows no file
and no tap.

The vector is ordered by target, then by step ahead, then by quantile.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.class_paths import MULTI_LOSS, is_a
from undertow.core.taps import Call

FORECAST = "forecast"
"""The path of the tap. If the model itself has a module of this name, the tap means that, and there is no forecast."""
QUANTILES = frozenset({"QuantileLoss", "NormalDistributionLoss", "LogNormalDistributionLoss"})
"""Losses whose quantiles are computed; those of other distributions are drawn at random."""


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
    """Whether a tap asks for the forecast, and not for a module of the model itself."""
    return FORECAST in paths and isinstance(_child(model), Forecast | None)


def attach(model: nn.Module) -> Call:
    """Add the forecast to the model, once; return the function that calls both."""
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
