"""What the axes of a tap's tensor mean, told by dry runs of other batch sizes and other lengths.

In: a model as it is called, its features, preprocessing and contract. Out: the features with their layouts, and the
contract with its least length exact; or a refusal. Knows no file and no weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.contract import InputContract
from workers.artifact.sample import sample_windows
from workers.core.embedder import to_tensors
from workers.core.errors import Refused
from workers.core.features import AUTO, Feature, Layout, Tap, TappedFeature
from workers.core.inputs import build_inputs
from workers.core.pooling import FLAT, STEPPED, align, pool
from workers.core.preprocessing import Preprocessing
from workers.core.taps import Call, Taps

PROBE, WIDER = 3, 4
"""Batch sizes of the dry runs: the axis that follows them is the windows'."""

Shape = tuple[int, ...]


def learn(
    model: nn.Module,
    features: Mapping[str, Feature],
    preprocessing: Preprocessing,
    contract: InputContract,
    call: Call | None = None,
) -> tuple[tuple[TappedFeature, ...], InputContract]:
    """Run the model dry; return the features with what was seen of them, and the contract with its least length exact.

    Some models begin at the second step, so that a window of one step has no hidden state there.
    """
    longest = contract.max_length
    with Taps(model, [feature.tap for feature in features.values()], call) as running:

        def run(count: int, width: int) -> dict[Tap, Tensor]:
            return running.run(make_inputs(preprocessing, contract, np.full(count, width)))

        runs, more = {longest: run(PROBE, longest), **_run_shorter(run, contract)}, run(WIDER, longest)
    learnt = []
    for name, feature in features.items():
        tap = feature.tap
        shapes = {width: tuple(tensors[tap].shape) for width, tensors in runs.items()}
        layout = find_layout(tap, shapes, tuple(more[tap].shape), preprocessing.prediction_length)
        hidden, _ = align(runs[longest][tap], layout, None, longest)
        pooled = feature
        if feature.pool == AUTO:
            pooled = replace(feature, pool="none" if hidden.ndim == FLAT else "last")
        if "flatten" in pooled.pools and layout.steps is not None and contract.min_length < longest:
            message = (
                f"the feature {name} flattens {tap}, whose steps follow the window's, and windows may have "
                f"{contract.min_length} to {longest} steps; pool by last, mean or max"
            )
            raise Refused(message)
        size = pool(hidden, pooled.pools).shape[1]
        learnt.append(TappedFeature(name=name, feature=pooled, layout=replace(layout, size=size)))
    least = max([contract.min_length, *(1 - one.layout.steps for one in learnt if one.layout.steps is not None)])
    return tuple(learnt), replace(contract, min_length=least)


def make_inputs(
    preprocessing: Preprocessing,
    contract: InputContract,
    lengths: NDArray[np.int64],
    device: torch.device = torch.device("cpu"),  # noqa: B008 - as constant as a number
) -> dict[str, Any]:
    """Return the model's inputs for sample windows of these lengths. Raises `Refused`."""
    built = build_inputs(sample_windows(contract, preprocessing, lengths), preprocessing)
    if built.faults:
        message = (
            f"the model's inputs cannot be built from a sample window that fits the contract: {built.faults[0].detail}"
        )
        raise Refused(message)
    return to_tensors(built.x, device)


def find_layout(tap: Tap, shapes: Mapping[int, Shape], more: Shape, horizon: int) -> Layout:
    """Tell the axes of a tensor by its shape for `PROBE` windows of each width, and for `WIDER` of the first width."""
    longest, base = next(iter(shapes.items()))
    axis, rows = _batch_axis(tap, base, more)
    folded = {width: _fold(shape, axis, rows) for width, shape in shapes.items()}
    sizes = list(zip(*folded.values(), strict=True))
    moving = [i for i, along in enumerate(sizes) if len(set(along)) > 1]
    if moving:
        extras = {size - width for width, size in zip(folded, sizes[moving[0]], strict=True)}
        if len(moving) == len(extras) == 1:
            return Layout(batch_axis=axis, rows=rows, time_axis=moving[0], steps=extras.pop(), size=0)
        found = ", ".join(f"{shape} for windows of {width} steps" for width, shape in shapes.items())
        message = (
            f"the tap {tap} has the shape {found}: its steps are not the window's, so padding cannot be told from "
            "data; train with one length, or choose another tap"
        )
        raise Refused(message)
    if len(sizes) < STEPPED:
        return Layout(batch_axis=axis, rows=rows, size=0)
    time = 2 if rows > 1 and len(sizes) > STEPPED else 1
    extra = sizes[time][0] - longest
    known = len(shapes) == 1 and extra in {0, -1, horizon}  # one length only: nothing is ever padded
    return Layout(batch_axis=axis, rows=rows, time_axis=time, steps=extra if known else None, size=0)


def _run_shorter(run: Callable[[int, int], dict[Tap, Tensor]], contract: InputContract) -> dict[int, dict[Tap, Tensor]]:
    """Run windows of other lengths, where the model takes them: one made for a single length may fail in any way."""
    longest, least = contract.max_length, max(contract.min_length, 2)
    runs: dict[int, dict[Tap, Tensor]] = {}
    failed: Exception | None = None
    for width in sorted({longest - 1, (least + longest) // 2, least} - {longest, 0}):
        try:
            runs[width] = run(PROBE, width)
        except Exception as error:  # noqa: BLE001
            failed = error
    if failed is not None and not runs and contract.min_length < longest:
        raise failed
    return runs


def _batch_axis(tap: Tap, base: Shape, more: Shape) -> tuple[int, int]:
    """Return the axis that follows the number of windows, and how many of its entries belong to each."""
    moving = [i for i, sizes in enumerate(zip(base, more, strict=True)) if sizes[0] != sizes[1]]
    if len(moving) == 1 and base[moving[0]] * WIDER == more[moving[0]] * PROBE:
        return moving[0], base[moving[0]] // PROBE
    message = (
        f"the tap {tap} gives shape {base} for {PROBE} windows and {more} for {WIDER}: no axis has "
        "its entries for each window, so there is no hidden state of a window; choose another (undertow taps)"
    )
    raise Refused(message)


def _fold(shape: Shape, axis: int, rows: int) -> Shape:
    """Return the shape with the windows first, then their rows if there are several."""
    rest = (*shape[:axis], *shape[axis + 1 :])
    return (shape[axis], *rest) if rows == 1 else (shape[axis] // rows, rows, *rest)
