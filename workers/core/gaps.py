"""Missing steps, filled as a data set with `allow_missing_timesteps` does.

In: windows whose missing steps are NaN, or None, in every column of the past. Out: windows without such. Knows no
scaler and no code: filled before scaling is filled after it, but for the time index, which is scaled first.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.core.preprocessing import Preprocessing
from undertow.core.steps import Steps
from undertow.schemas.windows import WindowBatch


def fill_gaps(windows: WindowBatch, preprocessing: Preprocessing) -> tuple[WindowBatch, NDArray[np.bool_]]:
    """Put a column's constant, or else the step before, where a step is missing; mark the windows that have such."""
    filled = np.zeros(len(windows), np.bool_)
    if preprocessing.fills is None:
        return windows, filled
    missing = np.isnan(windows.past[preprocessing.targets[0].name].astype(np.float64, copy=False))
    if not missing.any():
        return windows, filled
    filled[np.searchsorted(windows.starts, np.flatnonzero(missing), side="right") - 1] = True
    before = np.maximum.accumulate(np.where(missing, 0, np.arange(len(missing))))  # a window's first step is there
    past = {name: column[before] for name, column in windows.past.items()}
    for name, constant in preprocessing.fills.items():
        past[name][missing] = constant
    return replace(windows, past=past), filled


def set_time_evenly(
    preprocessing: Preprocessing, steps: Steps, encoder: NDArray[np.float32], decoder: NDArray[np.float32]
) -> None:
    """Let the scaled time go evenly from its first step to the decoder's last one, in windows with filled steps."""
    if preprocessing.time_column is None:
        return
    column = [real.name for real in preprocessing.reals].index(preprocessing.time_column)
    horizon = preprocessing.prediction_length
    for row in np.flatnonzero(steps.filled).tolist():
        length = int(steps.lengths[row])
        first, last = float(encoder[row, 0, column]), float(decoder[row, -1, column])
        even = torch.linspace(first, last, length + horizon, dtype=torch.float32).numpy()  # its own order of rounding
        encoder[row, :length, column], decoder[row, :, column] = even[:length], even[length:]
