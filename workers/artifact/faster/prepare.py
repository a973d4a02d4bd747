"""Make a model's forwards shorter: packing finds what can be skipped, loading skips it and rewrites slow modules.

In: a model, and its features, preprocessing and contract. Out: a `Pruning`; or the model, changed in place. Knows no
file.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from undertow.artifact.dry_runs.layouts import PROBE, WIDER
from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths
from undertow.artifact.faster.notices import tell, tell_error
from undertow.artifact.faster.rewrite import MARGIN, distance, restore, rewrite
from undertow.artifact.faster.search import MakeVectors, find_pruning
from undertow.artifact.faster.skipping import skip
from undertow.artifact.format.pruning import Pruning
from undertow.core.features import Tap, TappedFeature
from undertow.core.pooling import align, pool
from undertow.core.preprocessing import Preprocessing
from undertow.core.taps import Call, Taps
from undertow.schemas.contract import InputContract

PROOF = 64
"""How many sample windows a rewrite is checked on: about one in a hundred windows magnifies an error of a last bit."""
log = logging.getLogger(__name__)


def find_unneeded(
    model: nn.Module,
    features: Sequence[TappedFeature],
    preprocessing: Preprocessing,
    contract: InputContract,
    call: Call | None = None,
) -> Pruning:
    """Return the parts of the model on which no feature depends."""
    longest, least = contract.max_length, contract.min_length
    sizes = [np.full(PROBE, longest), np.full(WIDER, longest), np.full(PROBE, least), _mixed(contract)]
    inputs = [make_inputs(preprocessing, contract, lengths) for lengths in sizes]
    return find_pruning(model, [one.feature.tap for one in features], inputs, _pooled(features), call)


def hasten(
    model: nn.Module,
    features: Sequence[TappedFeature],
    pruning: Pruning,
    preprocessing: Preprocessing,
    contract: InputContract,
    call: Call | None = None,
    *,
    rewriting: bool = True,
) -> None:
    """Skip what is not needed and rewrite what is slow, in place, on the model's device.

    Raises `Refused` if the pruning does not fit the model.
    """
    skip(model, pruning.skipped)
    if not rewriting:
        return
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    taps = [one.feature.tap for one in features]
    try:
        inputs = [
            make_inputs(preprocessing, contract, lengths, device)
            for lengths in (_mixed(contract, PROOF), np.full(PROBE, contract.max_length))
        ]
        with Taps(model, taps, call) as running:
            pooled = _pooled(features)

            def run() -> list[Tensor]:
                with torch.inference_mode():
                    return [vector for x in inputs for vector in pooled(running.run(x), x)]

            _rewrite(model, run, [tap.path for tap in taps], pruning)
    except Exception as error:  # noqa: BLE001 - a broken model is reported when it is used
        tell_error(log, "the model runs as it is, since it cannot run on the sample windows", error)


def _pooled(features: Sequence[TappedFeature]) -> MakeVectors:
    def vectors(found: Mapping[Tap, Tensor], x: Any) -> list[Tensor]:
        lengths: Tensor = x["encoder_lengths"]
        width = int(lengths.max())
        valid = None if int(lengths.min()) == width else lengths
        return [
            pool(hidden, one.feature.pools, steps)
            for one in features
            for hidden, steps in [align(found[one.feature.tap], one.layout, valid, width)]
        ]

    return vectors


def _rewrite(model: nn.Module, run: Callable[[], list[Tensor]], taps: Sequence[str], pruning: Pruning) -> None:
    plain = run()
    paths = rewrite(model, taps, run, stateless=pruning.stateless)
    apart = max(distance(*pair) for pair in zip(plain, run(), strict=True))
    if not apart <= MARGIN:
        line = f"the model runs as it is, since {len(paths)} modules rewritten together differ by {apart:.2g}"
        tell(log, line, ", ".join(paths))
        restore(model, paths)


def _mixed(contract: InputContract, count: int | None = None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the lengths of `count` sample windows, shortest first, as the embedder sorts them."""
    lengths = sample_lengths(contract)
    return np.sort(lengths if count is None else np.resize(lengths, count))
