"""The real columns of a model's inputs.

In: windows, codes of their ids, the targets' norms. Out: `encoder_cont` and `decoder_cont`. Knows no category.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.core.encoding import Codes
from undertow.core.gaps import set_time_evenly
from undertow.core.preprocessing import Preprocessing, Real
from undertow.core.scalers import NormScaler, RangeScaler, Scaler, WindowScaler
from undertow.core.scaling import Norm, trained_norm, window_norm
from undertow.core.steps import Steps
from undertow.core.transformations import transform
from undertow.schemas.windows import WindowBatch


def build_reals(
    windows: WindowBatch, preprocessing: Preprocessing, steps: Steps, codes: Codes, norms: list[Norm]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (n, t, c) for the encoder and (n, horizon, c) for the decoder; columns unknown in the decoder are 0."""
    reals = preprocessing.reals
    flat = np.zeros((int(steps.lengths.sum()), len(reals)), np.float32)
    ahead = np.zeros((len(windows), preprocessing.prediction_length, len(reals)), np.float32)
    for column, real in enumerate(reals):
        past, future = _build(real, windows, preprocessing, steps, codes, norms)
        flat[:, column], ahead[:, :, column] = past, future
    padded = steps.pad(flat)
    set_time_evenly(preprocessing, steps, padded, ahead)
    scattered = steps.filled if len(reals) > 1 else None
    sources = {lag.name: lag.column for lag in preprocessing.lags}  # a lagged column is scaled as its source
    own = {target.name: norm for target, norm in zip(preprocessing.targets, norms, strict=True)}
    for column, real in enumerate(reals):
        if isinstance(real.scaler, WindowScaler) and real.name not in sources:
            own[real.name] = window_norm(real.scaler, padded[:, :, column], steps.lengths, scattered)
    for column, real in enumerate(reals):
        if isinstance(real.scaler, WindowScaler):
            center, scale = (number[:, None] for number in own[sources.get(real.name, real.name)])
            values = _apply(padded[:, :, column], real.scaler, center, scale)
            padded[:, :, column] = np.where(steps.inside, values, np.float32(0))
            if real.role != "unknown":
                ahead[:, :, column] = _apply(ahead[:, :, column], real.scaler, center, scale)
    return padded, ahead


def _build(
    real: Real, windows: WindowBatch, preprocessing: Preprocessing, steps: Steps, codes: Codes, norms: list[Norm]
) -> tuple[NDArray[Any], NDArray[Any] | float]:
    longest, horizon = preprocessing.max_encoder_length, preprocessing.prediction_length
    match real.role:
        case "relative_time":  # not scaled: the dataset overwrites the scaled values
            until = np.arange(int(steps.lengths.sum())) - steps.spread(steps.starts + steps.lengths)
            after = np.arange(horizon)
            return until.astype(np.float32) / np.float32(longest), after.astype(np.float32) / np.float32(longest)
        case "length":  # likewise
            value = (steps.lengths - 0.5 * longest) / longest * 2.0
        case "target":
            scaler = preprocessing.targets[real.target].scaler
            # The window's own normalizer is given float32, those of training the float64 of the data frame.
            kind = np.float32 if isinstance(scaler, WindowScaler) else np.float64
            center, scale = norms[real.target]
            return _apply(windows.past[real.name].astype(kind), scaler, steps.spread(center), steps.spread(scale)), 0.0
        case "center" | "scale":
            number = norms[real.target][0 if real.role == "center" else 1]
            value = _scale(np.broadcast_to(number, len(windows)).astype(np.float64), real.scaler, codes, None)
        case "static":
            value = _scale(windows.static[real.name], real.scaler, codes, None)
        case "unknown":
            return _scale(windows.past[real.name], real.scaler, codes, steps), 0.0
        case "known":
            past = _scale(windows.past[real.name], real.scaler, codes, steps)
            return past, _scale(windows.future[real.name], real.scaler, codes, None)
    return steps.spread(value), value[:, None]


def _scale(values: NDArray[Any], scaler: Scaler | None, codes: Codes, steps: Steps | None) -> NDArray[Any]:
    """Scale encoder steps, or with `steps` None static (n,) or decoder (n, horizon) values.

    A `WindowScaler` is applied later, when all steps are in place.
    """
    if scaler is None or isinstance(scaler, WindowScaler):
        return values
    if isinstance(scaler, RangeScaler):
        scaled: NDArray[Any] = values * scaler.factor
        scaled += scaler.offset
        return scaled if scaler.bounds is None else scaled.clip(*scaler.bounds)
    center, scale = trained_norm(scaler, codes)
    if isinstance(center, np.ndarray):
        if steps is not None:
            center, scale = steps.spread(center), steps.spread(scale)
        elif values.ndim > 1:
            center, scale = center[:, None], scale[:, None]
    return _apply(values, scaler, center, scale)


def _apply(values: NDArray[Any], scaler: NormScaler, center: Any, scale: Any) -> NDArray[Any]:
    """Transform, centre, scale, each operation in the dtype of the values."""
    result: NDArray[Any] = transform(scaler.transformation, values) - center
    result /= scale
    return result
