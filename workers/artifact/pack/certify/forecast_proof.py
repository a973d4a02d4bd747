"""Check that a model's forecast can be a feature: deterministic, and in the targets' units.

In: a trained model, the wanted features. Out: the model with its forecast attached, and facts about the numbers; or a
refusal. Knows no file.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from undertow.artifact.faster.class_paths import BASE_MODEL, is_a
from undertow.artifact.format.recipes import ModelRecipe
from undertow.artifact.load.forecast import FORECAST, QUANTILES, Forecast, attach, is_wanted, read_losses
from undertow.artifact.pack.read.trained import Trained
from undertow.core.errors import Refused
from undertow.core.features import Feature

POINT = frozenset({"MAE", "RMSE", "SMAPE", "MAPE", "MASE", "PoissonLoss", "TweedieLoss"})
WHOLE = frozenset({str(Feature.parse(FORECAST)), str(Feature.parse(f"{FORECAST}:none"))})
REASONS = {
    "DeepAR": "it draws random samples",
    "xLSTMTime": "it does not scale its output back to the target's units",
}


def with_forecast(trained: Trained, features: Mapping[str, Feature]) -> Trained:
    """Return the trained model, with its forecast attached if a feature asks for it. Raises `Refused`."""
    if not is_wanted(trained.model, [one.tap.path for one in features.values()]):
        return trained
    for name, feature in features.items():
        if feature.tap.path == FORECAST and str(feature) not in WHOLE:
            message = f"the feature {name}: the forecast is taken as it is, by {name}={FORECAST}, found {feature}"
            raise Refused(message)
    _refuse(trained)
    return replace(trained, call=attach(trained.model))


def forecast_facts(trained: Trained, features: Mapping[str, Feature]) -> dict[str, dict[str, Any]]:
    """Return, for each forecast feature, what its numbers mean, as plain data for `json`."""
    model: Any = trained.model
    if not isinstance(getattr(model, FORECAST, None), Forecast):
        return {}
    facts = {
        "targets": list(model.target_names),
        "horizon": trained.preprocessing.prediction_length,
        "quantiles": [
            list(loss.quantiles) if type(loss).__name__ in QUANTILES else "point" for loss in read_losses(model)
        ],
        "order": "targets, then steps, then quantiles",
    }
    return {name: facts for name, one in features.items() if one.tap.path == FORECAST}


def _refuse(trained: Trained) -> None:
    """Raise `Refused` for a model whose forecast is random, or not in the targets' units."""
    model: Any = trained.model
    name = type(model).__name__
    why = REASONS.get(name)
    if not is_a(model, BASE_MODEL):
        why = "it is no model of pytorch-forecasting, whose last layer may be tapped"
    elif why is None and isinstance(trained.recipe, ModelRecipe):
        drawn = [type(loss).__name__ for loss in read_losses(model) if type(loss).__name__ not in POINT | QUANTILES]
        if drawn:
            why = f"the quantiles of its {drawn[0]} are drawn, not computed"
        elif any(output.normalizer is None for output in trained.recipe.outputs):
            why = f"its output_transformer is no normalizer that is known: {model.output_transformer!r}"
    if why is not None:
        message = f"{name} has no forecast that can be a feature: {why}; tap a layer (undertow taps)"
        raise Refused(message)
