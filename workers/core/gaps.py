"""Fill missing steps as a TimeSeriesDataSet with `allow_missing_timesteps` does.

In: windows whose missing steps are NaN, or None, in every column of the past. Out: windows without missing steps. Knows
no scaler and no code: filling before scaling gives the same as filling after it, except for the time index.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.core.preprocessing import Preprocessing
from undertow.core.steps import Steps
from undertow.schemas.windows import WindowBatch


def fill_gaps(windows: WindowBatch, preprocessing: Preprocessing) -> tuple[WindowBatch, NDArray[np.bool_]]:
    """Fill each missing step by the column's constant, or else by the step before; return also (n,) who had gaps."""
    filled = np.zeros(len(windows), np.bool_)
    if preprocessing.fills is None:
        return windows, filled
    missing = np.isnan(windows.past[preprocessing.targets[0].name].astype(np.float64, copy=False))
    if not missing.any():
        return windows, filled
    filled[np.searchsorted(windows.starts, np.flatnonzero(missing), side="right") - 1] = True
    before = np.maximum.accumulate(np.where(missing, 0, np.arange(len(missing))))  # a first step is never missing
    past = {name: column[before] for name, column in windows.past.items()}
    for name, constant in preprocessing.fills.items():
        past[name][missing] = constant
    return replace(windows, past=past), filled


def set_time_evenly(
    preprocessing: Preprocessing, steps: Steps, encoder: NDArray[np.float32], decoder: NDArray[np.float32]
) -> None:
    """In windows with filled steps, make the scaled time index linear from its first to the decoder's last step."""
    if preprocessing.time_column is None:
        return
    column = [real.name for real in preprocessing.reals].index(preprocessing.time_column)
    horizon = preprocessing.prediction_length
    for row in np.flatnonzero(steps.filled).tolist():
        length = int(steps.lengths[row])
        first, last = float(encoder[row, 0, column]), float(decoder[row, -1, column])
        even = torch.linspace(first, last, length + horizon, dtype=torch.float32).numpy()  # not numpy's
        encoder[row, :length, column], decoder[row, :, column] = even[:length], even[length:]
