"""Build the inputs `x` of a pytorch-forecasting model from windows, bit-equal with its TimeSeriesDataSet.

In: a `WindowBatch` and a `Preprocessing`. Out: `BuiltInputs`. Knows no model, no file and no dataset.

What only the dataset knows is 0 here: targets and unknown columns of the decoder steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.core.encoding import PARTS, Codes, encode
from undertow.core.gaps import fill_gaps
from undertow.core.lags import add_lags
from undertow.core.preprocessing import Preprocessing, Target
from undertow.core.reals import build_reals
from undertow.core.scalers import WindowScaler
from undertow.core.scaling import Norm, trained_norm, window_norm
from undertow.core.steps import Steps
from undertow.schemas.records import Fault
from undertow.schemas.windows import WindowBatch

Inputs = dict[str, Any]
"""Arrays by name; `encoder_target`, `decoder_target` and `target_scale` are lists of arrays for several targets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltInputs:
    """The inputs, and the windows for which none could be built."""

    x: Inputs
    rows: NDArray[np.int64]
    """(m,) the index of each row's window in the batch, ascending."""
    faults: tuple[Fault, ...] = ()


def build_inputs(windows: WindowBatch, preprocessing: Preprocessing) -> BuiltInputs:
    """Build inputs, padded with 0 after the last step to the longest window. Windows must fit the input contract.

    A window with an unknown category, or with a number that becomes infinite by scaling, becomes a fault.
    """
    windows, filled = fill_gaps(add_lags(windows, preprocessing), preprocessing)
    rows = np.arange(len(windows), dtype=np.int64)
    codes, faults = encode(windows, preprocessing)
    if faults:
        rows = np.setdiff1d(rows, [fault.row for fault in faults])
        codes, _ = encode(windows.take(rows), preprocessing)
    kept = windows if len(rows) == len(windows) else windows.take(rows)
    x = _assemble(kept, filled[rows], codes, preprocessing)
    bad = _not_finite(x, preprocessing)
    if not bad:
        return BuiltInputs(x=x, rows=rows, faults=faults)
    late = tuple(Fault(row=int(rows[row]), reason="inputs", detail=detail) for row, detail in bad.items())
    rows = np.delete(rows, list(bad))
    rest = windows.take(rows)
    x = _assemble(rest, filled[rows], encode(rest, preprocessing)[0], preprocessing)
    return BuiltInputs(x=x, rows=rows, faults=tuple(sorted((*faults, *late), key=lambda fault: fault.row)))


def _assemble(windows: WindowBatch, filled: NDArray[np.bool_], codes: Codes, preprocessing: Preprocessing) -> Inputs:
    count, horizon, steps = len(windows), preprocessing.prediction_length, Steps(windows.lengths, filled)
    targets, several = preprocessing.targets, preprocessing.several_targets
    with np.errstate(all="ignore"):  # non-finite numbers become faults at the end
        observed = [steps.pad(windows.past[target.name].astype(np.float32)) for target in targets]
        norms = [_norm(target, values, steps, codes) for target, values in zip(targets, observed, strict=True)]
        encoder_cont, decoder_cont = build_reals(windows, preprocessing, steps, codes, norms)
        scales = [_reported(target, norm, codes, count) for target, norm in zip(targets, norms, strict=True)]
    encoder_cat, decoder_cat = _categoricals(codes, preprocessing, steps)
    ahead = [np.zeros((count, horizon), np.float32) for _ in targets]
    begin = np.zeros(count, np.int64)
    if preprocessing.time_column is not None:
        begin = windows.past[preprocessing.time_column][steps.starts].astype(np.int64)
    groups = np.zeros((count, len(preprocessing.groups)), np.int64)
    for column, group in enumerate(preprocessing.groups):
        if group is not None:
            groups[:, column] = codes["series", *group]
    return {
        "encoder_cat": encoder_cat,
        "encoder_cont": encoder_cont,
        "encoder_target": observed if several else observed[0],
        "encoder_lengths": steps.lengths.astype(np.int64),
        "decoder_cat": decoder_cat,
        "decoder_cont": decoder_cont,
        "decoder_target": ahead if several else ahead[0],
        "decoder_lengths": np.full(count, horizon, np.int64),
        "decoder_time_idx": (begin + steps.lengths)[:, None] + np.arange(horizon, dtype=np.int64),
        "groups": groups,
        "target_scale": scales if several else scales[0],
    }


def _norm(target: Target, values: NDArray[np.float32], steps: Steps, codes: Codes) -> Norm:
    if isinstance(target.scaler, WindowScaler):
        return window_norm(target.scaler, values, steps.lengths)
    return trained_norm(target.scaler, codes)


def _reported(target: Target, norm: Norm, codes: Codes, count: int) -> NDArray[Any]:
    if not isinstance(target.reported, WindowScaler):
        norm = trained_norm(target.reported, codes)
    reported = np.empty((count, 2), target.reported_dtype)
    reported[:, 0], reported[:, 1] = norm
    return reported


def _categoricals(
    codes: Codes, preprocessing: Preprocessing, steps: Steps
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names = preprocessing.categoricals
    flat = np.zeros((int(steps.lengths.sum()), len(names)), np.int64)
    ahead = np.zeros((len(steps.lengths), preprocessing.prediction_length, len(names)), np.int64)
    for column, categorical in enumerate(names):
        parts = [codes[part, categorical.name, categorical.encoder] for part in PARTS[categorical.role]]
        is_static = categorical.role in {"static", "series"}
        flat[:, column] = steps.spread(parts[0]) if is_static else parts[0]
        if is_static:
            ahead[:, :, column] = parts[0][:, None]
        elif categorical.role == "known":
            ahead[:, :, column] = parts[1]
    return steps.pad(flat), ahead


def _not_finite(x: Inputs, preprocessing: Preprocessing) -> dict[int, str]:
    """Return, by row, what is wrong with each window that has non-finite inputs."""
    observed = x["encoder_target"] if preprocessing.several_targets else [x["encoder_target"]]
    named = [(target.name, array) for target, array in zip(preprocessing.targets, observed, strict=True)]
    if all(np.isfinite(array).all() for array in (x["encoder_cont"], x["decoder_cont"], *observed)):
        return {}
    for part in ("encoder_cont", "decoder_cont"):
        named += [(real.name, x[part][:, :, column]) for column, real in enumerate(preprocessing.reals)]
    bad: dict[int, str] = {}
    for name, array in named:
        for row in np.flatnonzero(~np.isfinite(array).all(axis=1)).tolist():
            bad.setdefault(row, f"{name}: expected numbers that are finite once transformed and scaled, found others")
    return bad
