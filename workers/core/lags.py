"""Compute lagged columns from a window's own earlier steps.

In: windows that begin the longest lag before the encoder's first step. Out: windows of the encoder's steps only, with
the lagged columns added. Knows no scaler and no code.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.core.preprocessing import Lag, Preprocessing
from undertow.schemas.windows import Values, WindowBatch


def add_lags(windows: WindowBatch, preprocessing: Preprocessing) -> WindowBatch:
    """Add the lagged columns and drop the extra steps; without lags, return the same object."""
    if not preprocessing.lags:
        return windows
    lengths, ends = windows.lengths - preprocessing.max_lag, windows.starts[1:]
    places = np.flatnonzero(np.arange(int(windows.lengths.sum())) >= np.repeat(ends - lengths, windows.lengths))
    decoder = np.arange(preprocessing.prediction_length)
    known = {real.name for real in preprocessing.reals if real.role == "known"}
    known |= {categorical.name for categorical in preprocessing.categoricals if categorical.role == "known"}
    past = {name: column[places] for name, column in windows.past.items()}
    past |= {lag.name: windows.past[lag.column][places - lag.steps] for lag in preprocessing.lags}
    future = {
        lag.name: _decoder_steps(lag, windows, ends, decoder - lag.steps)
        for lag in preprocessing.lags
        if lag.name in known
    }
    return WindowBatch(
        series=windows.series,
        end_us=windows.end_us,
        lengths=lengths,
        past=past,
        future={**windows.future, **future},
        static=windows.static,
    )


def _decoder_steps(lag: Lag, windows: WindowBatch, ends: NDArray[np.int64], places: NDArray[np.int64]) -> Values:
    """Return (n, horizon) the lagged column in the decoder: observed values first, then those known ahead."""
    observed: Values = windows.past[lag.column][ends[:, None] + places[places < 0]]
    if (places < 0).all():
        return observed
    return np.concatenate([observed, windows.future[lag.column][:, places[places >= 0]]], axis=1)
