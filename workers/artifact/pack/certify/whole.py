"""Run the trained model to its end with plain hooks, in float32 or float64: the reference for `Taps`.

In: a trained model, features, inputs. Out: the reference vectors, and the model's own float32 error. Knows no embedder.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from undertow.artifact.pack.read.trained import Trained
from undertow.core.embedder import VectorsByFeature
from undertow.core.features import TappedFeature
from undertow.core.pooling import align, pool
from undertow.core.reduction import Reduction, reduce
from undertow.core.returned import pick, unpack
from undertow.core.taps import Call, find_module

MOST_OPEN = 1e-4
"""The largest float32 error accepted, relative to the vector's largest number (or to 1 if smaller). A choice."""


class RoundingBound:
    """Each feature's float32 error (its distance to float64), computed only when it is needed."""

    def __init__(self, look: Callable[[], Mapping[str, float]]) -> None:
        self._look, self._found = look, dict[str, float]()

    def of(self, name: str) -> float:
        """Return the error, or 0 if it is too large to be accepted as an excuse."""
        self._found = self._found or dict(self._look())
        return self._found[name] if self._found[name] <= MOST_OPEN else 0.0

    def known(self, name: str) -> float:
        """Return the error, or 0 if it was not needed."""
        return self._found.get(name, 0.0)


def full_forward(
    model: nn.Module,
    call: Call,
    features: Sequence[TappedFeature],
    x: Mapping[str, Any],
    reductions: Mapping[str, Reduction] = MappingProxyType({}),
) -> tuple[VectorsByFeature, dict[str, tuple[int, ...]]]:
    """Embed without `Taps` and without ending early; return the vectors and the shapes of the hidden states."""
    fired: dict[nn.Module, list[Any]] = {}
    modules = {find_module(model, one.feature.tap.path) for one in features}
    handles = [
        module.register_forward_hook(lambda module, _, output: fired.setdefault(module, []).append(_copy(output)))
        for module in modules
    ]
    try:
        with torch.inference_mode():
            call(x)
    finally:
        for handle in handles:
            handle.remove()
    vectors: VectorsByFeature = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for one in features:
        tap = one.feature.tap
        value = fired[find_module(model, tap.path)][tap.call]
        for element in tap.select:
            value = pick(value, element)
        while isinstance(value, list):
            value = value[0]
        valid = x["encoder_lengths"]
        hidden, steps = align(value, one.layout, valid, int(valid.max()))
        pooled = pool(hidden, one.feature.pools, steps)
        vectors[one.name] = reduce(pooled, one.feature, reductions.get(one.name)).numpy()
        shapes[one.name] = tuple(value.shape)
    return vectors, shapes


def left_open(
    trained: Trained,
    features: Sequence[TappedFeature],
    x: Mapping[str, Any],
    reductions: Mapping[str, Reduction] = MappingProxyType({}),
) -> dict[str, float]:
    """Return each feature's distance to its vectors in float64, relative to their largest number (or to 1 if smaller).

    A norm over a few nearly equal channels magnifies the last bit a thousand times: then the model itself is no more
    precise, whatever the batch. 0 if it cannot be known, because the model does not run in float64.
    """
    plain, _ = full_forward(trained.model, trained.call, features, x, reductions)
    try:
        with _doubled(trained.model):
            exact, _ = full_forward(trained.model, trained.call, features, _widen(x), reductions)
    except Exception:  # noqa: BLE001 - a model may hold tensors that are not its parameters
        return dict.fromkeys(plain, 0.0)
    return {name: distance(array, exact[name]) for name, array in plain.items()}


def distance(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the largest difference, relative to the largest expected number (or to 1 if smaller)."""
    return float(np.abs(expected - found).max()) / max(1.0, float(np.abs(expected).max()))


@contextmanager
def _doubled(model: nn.Module) -> Iterator[None]:
    """Convert the model to float64 within the context; afterwards its numbers are bit-equal to before."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # for tensors that a forward creates
    model.double()
    try:
        yield
    finally:
        model.float()
        torch.set_default_dtype(before)


def _widen(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.double() if x.is_floating_point() else x
    if isinstance(x, Mapping):
        return {key: _widen(value) for key, value in x.items()}
    return [_widen(one) for one in x] if isinstance(x, list | tuple) else x


def _copy(output: Any) -> Any:
    """Copy an output's tensors, which the rest of the forward may overwrite in place, as an in-place ReLU does."""
    output = unpack(output)
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, Mapping):
        return {key: _copy(value) for key, value in output.items()}
    return [_copy(value) for value in output] if isinstance(output, tuple | list) else output
