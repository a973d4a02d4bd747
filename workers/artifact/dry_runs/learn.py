"""Find the layout of each tap by dry runs with several batch sizes and lengths.

In: a model and how it is called, its features, preprocessing and contract. Out: the features with their layouts, and
the contract with the exact minimum length; or a refusal. Knows no file and no weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from undertow.artifact.dry_runs.layouts import (
    PROBE,
    WIDER,
    Shapes,
    find_layout,
    not_real,
    other_widths,
    shape_at,
    shapes_seen,
)
from undertow.artifact.dry_runs.sample import sample_windows
from undertow.core.errors import Refused
from undertow.core.features import AUTO, POOLS, Feature, Tap, TappedFeature
from undertow.core.forwards import to_tensors
from undertow.core.inputs import build_inputs
from undertow.core.pooling import FLAT, align, pool
from undertow.core.preprocessing import Preprocessing
from undertow.core.taps import Call, Taps, find_module
from undertow.schemas.contract import InputContract
from undertow.schemas.wording import between, counted


def learn(
    model: nn.Module,
    features: Mapping[str, Feature],
    preprocessing: Preprocessing,
    contract: InputContract,
    call: Call | None = None,
) -> tuple[tuple[TappedFeature, ...], InputContract]:
    """Do the dry runs; return the features with their layouts, and the contract with the exact minimum length.

    That may be more than one step: some models begin at the second, so a window of one step has no hidden state.
    Raises `Refused` for a tap or a pooling that does not fit.
    """
    lag = preprocessing.max_lag  # extra steps, which the model does not see
    seen = replace(contract, min_length=contract.min_length - lag, max_length=contract.max_length - lag)
    longest = seen.max_length
    others = {
        width: shapes_seen(model, make_inputs(preprocessing, contract, np.full(PROBE, width + lag)), call)
        for width in other_widths(seen)
    }
    if any(feature.tap.call < 0 for feature in features.values()):
        whole = shapes_seen(model, make_inputs(preprocessing, contract, np.full(PROBE, longest + lag)), call)
        other = [shapes for width, shapes in others.items() if seen.min_length <= width]
        features = {name: _counted(feature, [whole, *other]) for name, feature in features.items()}
    with Taps(model, [feature.tap for feature in features.values()], call) as running:

        def run(count: int, width: int) -> dict[Tap, Tensor]:
            return running.run(make_inputs(preprocessing, contract, np.full(count, width + lag)))

        base, more = run(PROBE, longest), run(WIDER, longest)
    learnt = []
    for name, feature in features.items():
        tap = feature.tap
        if obstacle := not_real(base[tap]):
            message = f"the feature {name}: the tap {tap} gives {obstacle}; choose another tap (undertow taps)"
            raise Refused(message)
        shapes = {longest: tuple(base[tap].shape)}
        shapes |= {width: shape for width, other in others.items() if (shape := shape_at(tap, other)) is not None}
        kind = type(find_module(model, tap.path))
        layout = find_layout(tap, shapes, tuple(more[tap].shape), preprocessing.prediction_length, kind)
        hidden, _ = align(base[tap], layout, None, longest)
        pooled = feature
        if feature.pool == AUTO:
            pooled = replace(feature, pool="none" if hidden.ndim == FLAT else "last")
        _check_fit(name, pooled, hidden)
        steps = hidden.shape[1] if layout.steps is None else longest + min(layout.steps, 0)
        shortest = steps if layout.steps is None else max(1, seen.min_length + min(layout.steps, 0))
        size = pool(hidden, pooled.pools).shape[1]
        if not size:
            message = f"the tap {tap} holds no numbers: its shape is {tuple(base[tap].shape)} for {PROBE} windows"
            raise Refused(message)
        _check_slices(name, pooled, range(shortest, steps + 1))
        learnt.append(TappedFeature(name=name, feature=pooled, layout=replace(layout, size=size)))
    least = max([seen.min_length, *(1 - one.layout.steps for one in learnt if one.layout.steps is not None)])
    return tuple(learnt), replace(contract, min_length=least + lag)


def _counted(feature: Feature, runs: Sequence[Shapes]) -> Feature:
    """Replace a call counted from the end by its number from 0. Raises `Refused` if that varies with the length."""
    tap = feature.tap
    counts = [1 + max((call for path, call, _ in seen if path == tap.path), default=-1) for seen in runs]
    if tap.call >= 0 or not counts[0]:  # a module that is never called is refused later
        return feature
    if len(set(counts)) > 1 or -tap.call > counts[0]:
        message = (
            f"the tap {tap} counts calls from the end, and one forward calls {tap.path} {min(counts)} to {max(counts)} "
            "times, by the length of the window, so in a batch its last call is that of the longest one; let windows "
            "have one length (min_length), or choose another tap"
            if len(set(counts)) > 1
            else (
                f"the tap {tap} asks for call {tap.call}, but one forward calls {tap.path} {counted(counts[0], 'time')}"
            )
        )
        raise Refused(message)
    return replace(feature, tap=replace(tap, call=counts[0] + tap.call))


def _check_fit(name: str, feature: Feature, hidden: Tensor) -> None:
    """Refuse a pooling over steps if there are none, and the pooling `none` if there are steps."""
    tap, channels = feature.tap, hidden.shape[-1]
    takes_steps = any(part.pool != "none" for part in feature.pools)
    if hidden.ndim == FLAT and takes_steps:
        message = (
            f"the feature {name}: the tap {tap} gives one vector of {counted(channels, 'number')} for each "
            f"window, without steps that {feature.pool} could pool; write --tap {name}={tap}, or {tap}:none, which is "
            "the same"
        )
        raise Refused(message)
    if hidden.ndim != FLAT and any(part.pool == "none" for part in feature.pools):
        message = (
            f"the feature {name}: the tap {tap} gives {counted(hidden.shape[1], 'step')} of "
            f"{counted(channels, 'number')} for a window, and none takes a vector as it is; pool them by "
            f"{', '.join(one for one in POOLS if one != 'none')}, such as "
            f"--tap {name}={tap}:last"
        )
        raise Refused(message)


def _check_slices(name: str, feature: Feature, lengths: range) -> None:
    """Refuse a slice that is empty for some of these lengths, or that flattens to vectors of different sizes."""
    spread = f"windows may have {between(lengths[0], lengths[-1], 'step')} at {feature.tap}"
    for part in feature.pools:
        taken = [len(part.steps(length)) for length in lengths]
        if part.pool == "flatten" and len(set(taken)) > 1:
            message = (
                f"the feature {name} flattens {between(min(taken), max(taken), 'step')}, since {spread}, so its "
                "vectors would have several sizes; take a slice that the shortest has, such as "
                f"flatten[-{lengths[0]}:], or pool by last, mean or max"
            )
            raise Refused(message)
        if part.pool != "none" and min(taken) == 0:
            message = (
                f"the feature {name}: {feature.pool} takes nothing of "
                f"{counted(lengths[taken.index(0)], 'step')}, and {spread}; "
                "take a slice that has a step in each"
            )
            raise Refused(message)


def make_inputs(
    preprocessing: Preprocessing,
    contract: InputContract,
    lengths: NDArray[np.int64],
    device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
) -> dict[str, Any]:
    """Return the model's inputs for sample windows of these lengths (n,). Raises `Refused` if they cannot be built."""
    built = build_inputs(sample_windows(contract, preprocessing, lengths), preprocessing)
    if built.faults:
        message = (
            f"the model's inputs cannot be built from a sample window that fits the contract: {built.faults[0].detail}"
        )
        raise Refused(message)
    return to_tensors(built.x, device)
