"""The proof that a model's forecast can be a feature: the same each time, in the targets' units, of the past alone.

In: a model as it was trained, the features wanted of it. Out: the model with its forecast behind it, and what people
should know of the numbers; or a refusal. Knows no file.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pytorch_forecasting.models import BaseModel

from schemas.contract import InputContract
from workers.artifact.forecast import FORECAST, QUANTILES, Forecast, attach, is_wanted, read_losses
from workers.artifact.learn import make_inputs
from workers.artifact.sample import sample_lengths
from workers.artifact.trained import Trained
from workers.core.errors import Refused
from workers.core.features import Feature
from workers.core.preprocessing import Preprocessing
from workers.core.taps import Call

POINT = frozenset({"MAE", "RMSE", "SMAPE", "MAPE", "MASE", "PoissonLoss", "TweedieLoss"})
WHOLE = frozenset({str(Feature.parse(FORECAST)), str(Feature.parse(f"{FORECAST}:none"))})
REASONS = {
    "DeepAR": "it draws samples, other ones each time",
    "xLSTMTime": "it does not scale its output back to the target's units",
}


def with_forecast(trained: Trained, features: Mapping[str, Feature]) -> Trained:
    """Return the trained model with its forecast behind it, if a feature asks for that. Raises `Refused`."""
    if not is_wanted(trained.model, [one.tap.path for one in features.values()]):
        return trained
    for name, feature in features.items():
        if feature.tap.path == FORECAST and str(feature) not in WHOLE:
            message = f"the feature {name}: the forecast is taken as it is, by {name}={FORECAST}, found {feature}"
            raise Refused(message)
    _refuse(trained)
    call = attach(trained.model)
    _check_blind(call, trained.preprocessing, trained.contract)
    return replace(trained, call=call)


def forecast_notes(trained: Trained, features: Mapping[str, Feature]) -> dict[str, dict[str, Any]]:
    """Return of each forecast what its numbers are, as plain data for `json`."""
    model: Any = trained.model
    if not isinstance(getattr(model, FORECAST, None), Forecast):
        return {}
    note = {
        "targets": list(model.target_names),
        "horizon": trained.preprocessing.prediction_length,
        "quantiles": [
            list(loss.quantiles) if type(loss).__name__ in QUANTILES else "point" for loss in read_losses(model)
        ],
        "order": "targets, then steps, then quantiles",
    }
    return {name: note for name, one in features.items() if one.tap.path == FORECAST}


def _refuse(trained: Trained) -> None:
    """Raise `Refused` for a model whose forecast is not the same numbers each time, in the targets' units."""
    model: Any = trained.model
    name = type(model).__name__
    why = REASONS.get(name)
    if not isinstance(model, BaseModel):
        why = "it is no model of pytorch-forecasting; tap its last layer"
    elif why is None:
        drawn = [type(loss).__name__ for loss in read_losses(model) if type(loss).__name__ not in POINT | QUANTILES]
        if drawn:
            why = f"the quantiles of its {drawn[0]} are drawn, not computed"
        elif any(output.normalizer is None for output in trained.recipe.outputs):
            why = f"its output_transformer is no normalizer that is known: {model.output_transformer!r}"
    if why is not None:
        message = f"{name} has no forecast that can be a feature: {why}; tap a hidden layer alone (undertow taps)"
        raise Refused(message)


def _check_blind(call: Call, preprocessing: Preprocessing, contract: InputContract) -> None:
    """Raise `Refused` where the forecast depends on what nobody knows when it is made."""
    x = make_inputs(preprocessing, contract, sample_lengths(contract))
    other = dict(x)
    target = x["decoder_target"]
    other["decoder_target"] = [one + 1.0 for one in target] if isinstance(target, list) else target + 1.0
    unknown = [real.role in {"unknown", "target"} for real in preprocessing.reals]
    other["decoder_cont"] = x["decoder_cont"] + torch.tensor(unknown, dtype=torch.float32)
    codes = {encoder.name: max(encoder.codes.values()) for encoder in preprocessing.encoders}
    other["decoder_cat"] = x["decoder_cat"].clone()
    for column, categorical in enumerate(preprocessing.categoricals):
        if categorical.role == "unknown":
            other["decoder_cat"][:, :, column] = codes[categorical.encoder]
    with torch.inference_mode():
        found, expected = call(other), call(x)
    if not torch.equal(found, expected):  # type: ignore[arg-type] # tensors: the forecast's own
        message = (
            "the model's forecast depends on what is observed only after the window: targets or unknown columns of the "
            "steps ahead; train it with these among the known columns, or tap a hidden layer alone (undertow taps)"
        )
        raise Refused(message)
