"""Windows with one thing changed: a step of the model's past, or a column of the window.

In: a trained model's contract and preprocessing. Out: inputs of `WINDOWS` windows each. Knows no tap and runs nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from undertow.artifact.dry_runs.sample import ColumnGroup, sample_windows
from undertow.artifact.pack.read.trained import Trained
from undertow.core.encoding import uses
from undertow.core.forwards import to_tensors
from undertow.core.inputs import Inputs, build_inputs
from undertow.schemas.contract import Column, IdColumn

WINDOWS = 2
MOST_STEPS = 64
"""How many steps of a longer past are changed: a quarter of these are the newest steps, the rest is spread evenly."""
DRAWS, TRIES = 2, 16
"""How many other values of each column are tried, and in how many draws: of few categories one is often drawn again."""
OBSERVED = {"known", "unknown", "target"}
"""Roles of inputs with a value for each step."""
SERIES = "series "
PREFIXES: Mapping[ColumnGroup, str] = {"past": "", "static": "static ", "future": "ahead ", "series": SERIES}
"""The prefix of a column's name, by the part of the window."""


def chosen_steps(width: int) -> list[int]:
    """Return which of `width` steps are changed."""
    if width <= MOST_STEPS:
        return list(range(width))
    edge = MOST_STEPS // 4
    between = np.linspace(edge, width - edge - 1, MOST_STEPS - 2 * edge).round().astype(int).tolist()
    return [*range(edge), *between, *range(width - edge, width)]


def with_step(trained: Trained, base: Inputs, step: int, size: float) -> Inputs:
    """Return the inputs with the observations of one step changed, each column by another amount from `size` up."""
    preprocessing = trained.preprocessing
    x = _copy(base)
    lags = {lag.name: lag.steps for lag in preprocessing.lags}
    width = x["encoder_cont"].shape[1]

    def places(name: str) -> Iterator[tuple[str, int]]:
        """Yield where a column's value of that step appears: a lagged column repeats it later."""
        part, place = ("encoder", at) if (at := step + lags.get(name, 0)) < width else ("decoder", at - width)
        if place < x[f"{part}_cont"].shape[1]:
            yield part, place

    for column, real in enumerate(preprocessing.reals):
        if real.role in OBSERVED:  # by unequal amounts: a norm over the columns would undo a common shift
            for part, place in places(real.name):
                x[f"{part}_cont"][:, place, column] += size * (1.0 + 0.37 * column)
    codes = {encoder.name: encoder.codes.values() for encoder in preprocessing.encoders}
    for column, categorical in enumerate(preprocessing.categoricals):
        if categorical.role in OBSERVED:
            count = max(codes[categorical.encoder], default=0) + 1
            for part, place in places(categorical.name):
                x[f"{part}_cat"][:, place, column] = (x[f"{part}_cat"][:, place, column] + 1) % count
    target = x["encoder_target"]
    for one in target if isinstance(target, list) else [target]:
        one[:, step] += size
    return x


def other_columns(trained: Trained, base: Inputs) -> Iterator[tuple[str, list[Inputs]]]:
    """Yield the name of each column of a window, and the model's inputs for other values of it.

    Columns with only one possible value, or that are no input of the model, are left out.
    """
    contract, preprocessing = trained.contract, trained.preprocessing
    used = {(part, name) for part, name, _ in uses(preprocessing)}
    parts: dict[ColumnGroup, Sequence[Column | IdColumn]] = {
        "past": contract.past,
        "static": contract.static,
        "future": contract.future,
        "series": [column for column in contract.series if ("series", column.name) in used],
    }
    lengths = np.full(WINDOWS, contract.max_length)
    for part, columns in parts.items():
        for column in columns:
            drawn: list[Inputs] = []
            for salt in range(1, TRIES):
                windows = sample_windows(contract, preprocessing, lengths, {(part, column.name): salt})
                built = build_inputs(windows, preprocessing)
                if built.faults or len(drawn) == DRAWS:
                    break
                x = to_tensors(built.x, torch.device("cpu"))
                if not all(_same(x[name], base[name]) for name in base):
                    drawn.append(x)
            if drawn:
                yield PREFIXES[part] + column.name, drawn


def _copy(x: Inputs) -> Inputs:
    return {
        name: [one.clone() for one in value] if isinstance(value, list) else value.clone() for name, value in x.items()
    }


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        return all(map(_same, left, right))
    return torch.equal(left, right)
