"""The proof that an artifact does what it says, made before it is written.

In: a model as it was trained, the embedder of what will be packed. Out: its answer on sample windows; or a refusal.
Knows no file.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from schemas.contract import InputContract
from schemas.windows import WindowBatch
from workers.artifact.certificate import Certificate, FeatureProof
from workers.artifact.learn import make_inputs
from workers.artifact.reference import check_inputs
from workers.artifact.sample import sample_lengths, sample_windows
from workers.artifact.trained import Trained
from workers.core.embedder import Embedder, Vectors
from workers.core.errors import Refused, UndertowError
from workers.core.features import TappedFeature
from workers.core.pooling import align, pool
from workers.core.taps import find_module

TOLERANCE = 1e-6
"""Of a vector, in units of its largest number or of 1: what the same window may differ by in another batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What of the weights goes into the artifact."""

    parameters: int
    size: int
    """Bytes of the file."""


def certify(
    embedder: Embedder, trained: Trained, features: tuple[TappedFeature, ...], contract: InputContract, weights: Weights
) -> tuple[Vectors, Certificate]:
    """Return the vectors of the sample windows, and what was seen of them; or raise `Refused`.

    They must be finite, the same again, the same alone and among others, and the same as the trained model gives to
    plain hooks when it runs to the end; and their inputs must be those of the model's own data set.
    """
    windows = sample_windows(contract, trained.preprocessing, sample_lengths(contract))
    inputs = None
    if trained.dataset_parameters is not None:
        inputs = check_inputs(windows, trained.preprocessing, trained.dataset_parameters)
    vectors = _embed(embedder, windows)
    _compare("is embedded otherwise the second time", vectors, _embed(embedder, windows), 0.0)
    rows = [np.array([row]) for row in range(len(windows))]
    singles = [_embed(embedder, windows.take(row)) for row in rows]
    alone = {name: np.concatenate([one[name] for one in singles]) for name in vectors}
    order = np.roll(np.arange(len(windows))[::-1], 1)
    mixed = _embed(embedder, windows.take(order))
    shuffled = {name: array[np.argsort(order)] for name, array in mixed.items()}
    whole, shapes = _full_forward(trained, features, contract, windows.lengths)
    apart = {
        "alone": _compare("is embedded otherwise alone than in a batch", vectors, alone, TOLERANCE),
        "shuffled": _compare("is embedded otherwise when its neighbours change places", vectors, shuffled, TOLERANCE),
        "whole": _compare("is embedded otherwise than by the whole trained model", vectors, whole, TOLERANCE),
    }
    proofs = tuple(
        FeatureProof(name=name, hidden=shapes[name], **{what: by_name[name] for what, by_name in apart.items()})
        for name in vectors
    )
    return vectors, Certificate(
        windows=len(windows),
        shortest=int(windows.lengths.min()),
        longest=int(windows.lengths.max()),
        tolerance=TOLERANCE,
        features=proofs,
        inputs=inputs,
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        kept=weights.parameters,
        weights_bytes=weights.size,
    )


def _embed(embedder: Embedder, windows: WindowBatch) -> Vectors:
    try:
        embedded = embedder.embed(windows)
    except UndertowError:
        raise
    except Exception as error:
        message = (
            "the model built from weights and hyperparameters alone does not run as far as the tap, since what "
            f"stands before it needs objects of the training ({type(error).__name__}: {error}); choose an earlier call"
        )
        raise Refused(message) from error
    if embedded.faults:
        message = f"a sample window that fits the contract cannot be embedded: {embedded.faults[0].detail}"
        raise Refused(message)
    return dict(embedded.embeddings.features)


def _full_forward(
    trained: Trained, features: tuple[TappedFeature, ...], contract: InputContract, lengths: NDArray[np.int64]
) -> tuple[Vectors, dict[str, tuple[int, ...]]]:
    """Embed with the simplest hooks there are, and no early end: what `Taps` is held against.

    Also return the shapes of the hidden states.
    """
    model, x = trained.model, make_inputs(trained.preprocessing, contract, lengths)
    fired: dict[nn.Module, list[Any]] = {}
    modules = {find_module(model, one.feature.tap.path) for one in features}
    handles = [
        module.register_forward_hook(lambda module, _, output: fired.setdefault(module, []).append(output))
        for module in modules
    ]
    try:
        with torch.inference_mode():
            trained.call(x)
    finally:
        for handle in handles:
            handle.remove()
    vectors: Vectors = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for one in features:
        tap = one.feature.tap
        value = fired[find_module(model, tap.path)][tap.call]
        for element in tap.select:
            value = value[element]
        while isinstance(value, tuple | list):
            value = value[0]
        hidden, steps = align(value, one.layout, x["encoder_lengths"], int(x["encoder_lengths"].max()))
        vectors[one.name], shapes[one.name] = pool(hidden.clone(), one.feature.pools, steps).numpy(), tuple(value.shape)
    return vectors, shapes


def _compare(what: str, expected: Vectors, found: Vectors, tolerance: float) -> dict[str, float]:
    """Return by how much each feature differs, in units of its largest number or of 1. Raises `Refused`."""
    apart = {}
    for name, array in expected.items():
        unit = max(1.0, float(np.abs(array).max()))
        apart[name] = float(np.abs(array - found[name]).max()) / unit
        if not apart[name] <= tolerance:
            message = (
                f"the feature {name}: a window {what}, by up to {apart[name] * unit:.2g}; choose another tap "
                "(undertow taps)"
            )
            raise Refused(message)
    return apart
