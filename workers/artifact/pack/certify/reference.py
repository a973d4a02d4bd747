"""Compare the inputs of sample windows with those that pytorch-forecasting's own data set builds.

In: windows, and the parameters of the data set on which the model was trained. Out: nothing, or a refusal that names
the first number that differs. Knows no model and no tap.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pytorch_forecasting import TimeSeriesDataSet

from undertow.core.errors import Refused
from undertow.core.inputs import build_inputs
from undertow.core.preprocessing import Preprocessing
from undertow.schemas.windows import Values, WindowBatch

ULPS = 1
"""The difference allowed in a norm of the window's own steps, in units of the last place: libraries sum in more than
one order."""
UNSEEN = {"decoder_cont": "reals", "decoder_cat": "categoricals"}
"""Inputs with columns that only a data set can fill: observations after the window."""


def check_inputs(windows: WindowBatch, preprocessing: Preprocessing, parameters: Mapping[str, Any]) -> int:
    """Compare every input of every window; return how many numbers were compared. Raises `Refused`."""
    windows = _number_steps(windows, preprocessing)
    compared = 0
    for row in range(len(windows)):
        window = windows.take(np.array([row]))
        built = build_inputs(window, preprocessing).x
        expected = _from_dataset(window, preprocessing, parameters)
        for name, found, reference in _pairs(built, expected):
            compared += found.size
            _compare(name, found, _as_served(name, reference, expected, preprocessing))
    return compared


def _number_steps(windows: WindowBatch, preprocessing: Preprocessing) -> WindowBatch:
    """Make the time index, if it is an input, count the steps: a data set accepts no other."""
    name = preprocessing.time_column
    if name is None:
        return windows
    past = np.concatenate([np.arange(length, dtype=np.float64) for length in windows.lengths.tolist()])
    future = windows.lengths[:, None] + np.arange(preprocessing.prediction_length, dtype=np.float64)
    return replace(windows, past={**windows.past, name: past}, future={**windows.future, name: future})


def _from_dataset(window: WindowBatch, preprocessing: Preprocessing, parameters: Mapping[str, Any]) -> dict[str, Any]:
    steps = int(window.lengths[0])
    count = steps + preprocessing.prediction_length
    frame = pd.DataFrame({name: _extend(column, count) for name, column in window.past.items()})
    for name, column in window.future.items():
        frame[name] = np.concatenate([window.past[name], column[0]])
    for name, column in {**window.static, **window.series, **_groups(preprocessing, parameters)}.items():
        frame[name] = np.repeat(column[:1], count)
    frame[parameters["time_idx"]] = np.arange(count)
    if weight := parameters.get("weight"):
        frame[weight] = 1.0
    missing = frame[preprocessing.targets[0].name].isna()
    frame = frame[~missing].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Training may have numbered its steps from any number on; these begin at 0.
        dataset = TimeSeriesDataSet.from_parameters({**parameters, "min_prediction_idx": 0}, frame, predict=True)
        x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=1, num_workers=0)))
    result: dict[str, Any] = x
    return result


def _groups(preprocessing: Preprocessing, parameters: Mapping[str, Any]) -> dict[str, Values]:
    """Return ids from training for the group ids that windows do not carry."""
    encoders, names = parameters["categorical_encoders"], parameters["group_ids"]
    return {
        name: np.array([next(iter(encoders[f"__group_id__{name}"].classes_))], object)
        for name, carried in zip([names] if isinstance(names, str) else names, preprocessing.groups, strict=True)
        if carried is None
    }


def _extend(column: Values, count: int) -> Values:
    """Repeat the last value for the steps that a window does not have yet."""
    return np.concatenate([column, np.repeat(column[-1:], count - len(column))])


def _pairs(built: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for name, reference in expected.items():
        found = built[name]
        several = isinstance(reference, list | tuple)
        for ours, theirs in zip(found, reference, strict=True) if several else [(found, reference)]:
            yield name, ours, theirs.numpy()


def _as_served(
    name: str, reference: NDArray[Any], expected: Mapping[str, Any], preprocessing: Preprocessing
) -> NDArray[Any]:
    """Remove from the data set's input what no window can know."""
    if name == "decoder_target":
        return np.zeros_like(reference)
    if name in UNSEEN:
        unknown = [column.role in {"unknown", "target"} for column in getattr(preprocessing, UNSEEN[name])]
        return np.where(unknown, 0, reference).astype(reference.dtype)
    if name == "decoder_time_idx" and preprocessing.time_column is None:
        first: NDArray[np.int64] = expected["encoder_lengths"].numpy()[:, None]
        return first + np.arange(reference.shape[1])
    if name == "groups":  # a group id that windows do not carry has no code of its own
        carried = [group is not None for group in preprocessing.groups]
        return np.where(carried, reference, 0).astype(reference.dtype)
    return reference


def _compare(name: str, found: NDArray[Any], reference: NDArray[Any]) -> None:
    if found.shape == reference.shape and found.dtype == reference.dtype:
        if found.dtype.kind == "f":
            apart = np.abs(found - reference) > ULPS * np.spacing(np.maximum(np.abs(found), np.abs(reference)))
        else:
            apart = found != reference
        if not apart.any():
            return
        place = tuple(int(index) for index in np.argwhere(apart)[0])
        detail = f"{found[place]!r} instead of {reference[place]!r} at {place}, and {int(apart.sum())} in all"
    else:
        detail = f"{found.dtype} {found.shape} instead of {reference.dtype} {reference.shape}"
    message = (
        f"the model's input {name} is not what pytorch-forecasting's TimeSeriesDataSet builds: {detail}; "
        "please report it with the data set's parameters: inputs are only built exactly or not at all"
    )
    raise Refused(message)
