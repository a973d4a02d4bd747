"""The proof that an artifact does what it says, made before it is written.

In: a model as it was trained, the embedder of what will be packed. Out: its answer on sample windows; or a refusal.
Knows no file.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.contract import InputContract
from workers.artifact.learn import make_inputs
from workers.artifact.sample import sample_lengths, sample_windows
from workers.artifact.trained import Trained
from workers.core.embedder import Embedder, Vectors
from workers.core.errors import Refused, UndertowError
from workers.core.features import TappedFeature
from workers.core.pooling import align, pool
from workers.core.taps import find_module, unpack

TOLERANCE = 1e-6
"""Of a vector, in units of its largest number or of 1: what the same window may differ by in another batch."""

MIXING = ": what stands before the tap mixes the windows of a batch, as normalising over it or taking it for time does"
PADDING = (
    ": what stands before the tap reads the padding behind a shorter window (a convolution with padding, a backward "
    f"direction, attention without a mask), which windows of one length do not have, or{MIXING.partition('tap')[2]}"
)


def certify(
    embedder: Embedder, trained: Trained, features: tuple[TappedFeature, ...], contract: InputContract
) -> Vectors:
    """Return the vectors of the sample windows, if they are what they must be; else raise `Refused`.

    Finite, the same again, the same alone, and the same as the trained model gives to plain hooks when it runs to the
    end.
    """
    windows = sample_windows(contract, trained.preprocessing, sample_lengths(contract))
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
    reason = PADDING if contract.min_length < contract.max_length else MIXING
    _compare("is embedded otherwise alone than in a batch", vectors, joined, TOLERANCE, reason)
    full = _full_forward(trained, features, contract, windows.lengths)
    _compare("is embedded otherwise than by the whole trained model", vectors, full, TOLERANCE)
    return vectors


def _full_forward(
    trained: Trained, features: tuple[TappedFeature, ...], contract: InputContract, lengths: NDArray[np.int64]
) -> Vectors:
    """Embed with the simplest hooks there are, and no early end: what `Taps` is held against."""
    model, x = trained.model, make_inputs(trained.preprocessing, contract, lengths)
    fired: dict[nn.Module, list[Any]] = {}
    modules = {find_module(model, one.feature.tap.path) for one in features}
    handles = [
        module.register_forward_hook(lambda module, _, output: fired.setdefault(module, []).append(_copy(output)))
        for module in modules
    ]
    try:
        with torch.inference_mode():
            trained.call(x)
    finally:
        for handle in handles:
            handle.remove()
    vectors: Vectors = {}
    for one in features:
        tap = one.feature.tap
        value = fired[find_module(model, tap.path)][tap.call]
        for element in tap.select:
            value = value[element]
        while isinstance(value, list):
            value = value[0]
        hidden, steps = align(value, one.layout, torch.from_numpy(lengths), int(lengths.max()))
        vectors[one.name] = pool(hidden, one.feature.pools, steps).numpy()
    return vectors


def _copy(output: Any) -> Any:
    """Copy its tensors: the forward goes on, and may write into them in place, as an in-place ReLU does."""
    output = unpack(output)
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, Mapping):
        return {key: _copy(value) for key, value in output.items()}
    return [_copy(value) for value in output] if isinstance(output, tuple | list) else output


def _compare(what: str, expected: Vectors, found: Vectors, tolerance: float, reason: str = "") -> None:
    for name, array in expected.items():
        difference = float(np.abs(array - found[name]).max())
        if not difference <= tolerance * max(1.0, float(np.abs(array).max())):
            amount = f"by up to {difference:.2g}{reason}"
            message = f"the feature {name}: a window {what}, {amount}; choose another tap (undertow taps)"
            raise Refused(message)
