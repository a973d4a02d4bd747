"""The proof that an artifact does what it says, made before it is written.

In: the model as trained, the model as rebuilt, features, preprocessing and contract. Out: the features with their
layouts, the contract made exact, the embedder's answer on sample windows; or a refusal. Knows no file.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.contract import InputContract
from workers.artifact.sample import sample_lengths, sample_windows
from workers.core.embedder import Embedder, Vectors, to_tensors
from workers.core.errors import Refused, UndertowError
from workers.core.features import Feature, Layout, Tap, TappedFeature
from workers.core.inputs import build_inputs
from workers.core.pooling import STEPPED, align, pool
from workers.core.preprocessing import Preprocessing
from workers.core.taps import Taps, find_module

TOLERANCE = 1e-6
"""Of a vector, in units of its largest number or of 1: what the same window may differ by in another batch."""
PROBE, WIDER = 3, 4
"""Batch sizes of the dry runs: the axis that follows them is the windows'."""


def learn(
    model: nn.Module, features: Mapping[str, Feature], preprocessing: Preprocessing, contract: InputContract
) -> tuple[tuple[TappedFeature, ...], InputContract]:
    """Run the model dry; return the features with what was seen of them, and the contract with its least length exact.

    Some models begin at the second step, so that a window of one step has no hidden state there.
    """
    taps = [feature.tap for feature in features.values()]
    longest, shorter = contract.max_length, max(contract.min_length, 2)
    with Taps(model, taps) as running:

        def run(count: int, width: int) -> tuple[dict[Tap, Tensor], int]:
            x = _inputs(preprocessing, contract, np.full(count, width))
            return running.run(x), int(x["decoder_lengths"].max())

        (base, horizon), (more, _) = run(PROBE, longest), run(WIDER, longest)
        short = run(PROBE, shorter)[0] if shorter < longest else None
    learnt = []
    for name, feature in features.items():
        tap = feature.tap
        axis = _batch_axis(tap, tuple(base[tap].shape), tuple(more[tap].shape))
        shapes = [tuple(tensor[tap].movedim(axis, 0).shape) for tensor in (base, short) if tensor is not None]
        steps = _steps(tap, shapes, longest, shorter, horizon)
        layout = Layout(batch_axis=axis, steps=steps, size=0)
        if "flatten" in feature.pools and steps is not None and contract.min_length < longest:
            message = (
                f"the feature {name} flattens {tap}, whose steps follow the window's, and windows may have "
                f"{contract.min_length} to {longest} steps; pool by last, mean or max"
            )
            raise Refused(message)
        hidden, _ = align(base[tap], layout, None, longest)
        size = pool(hidden, feature.pools).shape[1]
        learnt.append(TappedFeature(name=name, feature=feature, layout=replace(layout, size=size)))
    least = max([contract.min_length, *(1 - one.layout.steps for one in learnt if one.layout.steps is not None)])
    return tuple(learnt), replace(contract, min_length=least)


def certify(
    embedder: Embedder,
    original: nn.Module,
    features: tuple[TappedFeature, ...],
    preprocessing: Preprocessing,
    contract: InputContract,
) -> Vectors:
    """Return the vectors of the sample windows, if they are what they must be; else raise `Refused`.

    Finite, the same again, the same alone, and the same as the trained model gives to plain hooks when it runs to the
    end.
    """
    windows = sample_windows(contract, preprocessing, sample_lengths(contract))
    try:
        whole = embedder.embed(windows)
    except UndertowError:
        raise
    except Exception as error:
        message = (
            "the model built from weights and hyperparameters alone does not run as far as the tap, since what "
            f"stands before it needs objects of the training ({type(error).__name__}: {error}); choose an earlier call"
        )
        raise Refused(message) from error
    if whole.faults:
        message = f"a sample window that fits the contract cannot be embedded: {whole.faults[0].detail}"
        raise Refused(message)
    vectors = dict(whole.embeddings.features)
    _compare("is embedded otherwise the second time", vectors, dict(embedder.embed(windows).embeddings.features), 0.0)
    alone = [embedder.embed(windows.take(np.array([row]))).embeddings for row in range(len(windows))]
    joined = {name: np.concatenate([one.features[name] for one in alone]) for name in vectors}
    _compare("is embedded otherwise alone than in a batch", vectors, joined, TOLERANCE)
    full = _full_forward(original, features, _inputs(preprocessing, contract, windows.lengths), windows.lengths)
    _compare("is embedded otherwise than by the whole trained model", vectors, full, TOLERANCE)
    return vectors


def _inputs(preprocessing: Preprocessing, contract: InputContract, lengths: NDArray[np.int64]) -> dict[str, Any]:
    built = build_inputs(sample_windows(contract, preprocessing, lengths), preprocessing)
    if built.faults:
        message = (
            f"the model's inputs cannot be built from a sample window that fits the contract: {built.faults[0].detail}"
        )
        raise Refused(message)
    return to_tensors(built.x, torch.device("cpu"))


def _batch_axis(tap: Tap, base: tuple[int, ...], more: tuple[int, ...]) -> int:
    axes = [axis for axis, sizes in enumerate(zip(base, more, strict=True)) if sizes == (PROBE, WIDER)]
    same = all(a == b for axis, (a, b) in enumerate(zip(base, more, strict=True)) if axis not in axes)
    if len(axes) == 1 and same:
        return axes[0]
    message = (
        f"the tap {tap} gives shape {base} for {PROBE} windows and {more} for {WIDER}: no axis has one entry for each "
        "window, so there is no hidden state of a window; choose another (undertow taps)"
    )
    raise Refused(message)


def _steps(tap: Tap, shapes: list[tuple[int, ...]], longest: int, shorter: int, horizon: int) -> int | None:
    if len(shapes[0]) != STEPPED:
        if shapes[0] != shapes[-1]:
            message = f"the tap {tap} gives {shapes[0]} for windows of {longest} steps and {shapes[-1]} for {shorter}"
            raise Refused(message)
        return None
    extra = shapes[0][1] - longest
    if len(shapes) == 1:  # one length only: nothing is ever padded, and only the meaning of the steps is to be told
        return extra if extra in {0, -1, horizon} else None
    if shapes[1][1] == shapes[0][1]:
        return None
    if shapes[1][1] - shorter == extra:
        return extra
    message = (
        f"the tap {tap} has {shapes[0][1]} steps for windows of {longest} and {shapes[1][1]} for {shorter}: its steps "
        "are not the window's, so padding cannot be told from data; train with one length, or choose another tap"
    )
    raise Refused(message)


def _full_forward(
    model: nn.Module, features: tuple[TappedFeature, ...], x: dict[str, Any], lengths: NDArray[np.int64]
) -> Vectors:
    """Embed with the simplest hooks there are, and no early end: what `Taps` is held against."""
    fired: dict[nn.Module, list[Any]] = {}
    modules = {find_module(model, one.feature.tap.path) for one in features}
    handles = [
        module.register_forward_hook(lambda module, _, output: fired.setdefault(module, []).append(output))
        for module in modules
    ]
    try:
        with torch.inference_mode():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    vectors: Vectors = {}
    for one in features:
        tap = one.feature.tap
        value = fired[find_module(model, tap.path)][tap.call]
        for element in tap.select:
            value = value[element]
        while isinstance(value, tuple | list):
            value = value[0]
        hidden, steps = align(value, one.layout, torch.from_numpy(lengths), int(lengths.max()))
        vectors[one.name] = pool(hidden.clone(), one.feature.pools, steps).numpy()
    return vectors


def _compare(what: str, expected: Vectors, found: Vectors, tolerance: float) -> None:
    for name, array in expected.items():
        difference = float(np.abs(array - found[name]).max())
        if not difference <= tolerance * max(1.0, float(np.abs(array).max())):
            message = (
                f"the feature {name}: a window {what}, by up to {difference:.2g}; choose another tap (undertow taps)"
            )
            raise Refused(message)
