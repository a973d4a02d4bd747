"""Try taps on sample windows: whether a window gives the same vector each time, in any batch.

In: a trained model and the layouts of its taps. Out: what prevents packing, for each tap that has such an obstacle.
Knows no file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.artifact.dry_runs.learn import learn, make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.pack.certify.future import with_another_future
from undertow.artifact.pack.certify.whole import RoundingBound, distance, left_open
from undertow.artifact.pack.read.trained import Trained
from undertow.core.embedder import Embedder, VectorsByFeature
from undertow.core.errors import UndertowError
from undertow.core.features import Feature, Layout, Tap, TappedFeature
from undertow.core.forwards import to_tensors
from undertow.core.inputs import build_inputs
from undertow.core.taps import Taps
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch

TOLERANCE = 1e-6


def try_out(trained: Trained, layouts: Mapping[Tap, Layout]) -> dict[Tap, str]:
    """Embed sample windows of all lengths at every tap, twice, alone and together; return the obstacle by tap."""
    taps = {f"f{index}": tap for index, tap in enumerate(layouts)}
    lag = trained.preprocessing.max_lag
    least = [1 - layout.steps + lag for layout in layouts.values() if layout.steps is not None]
    shortest = min(max([trained.contract.min_length, *least]), trained.contract.max_length)
    contract = replace(trained.contract, min_length=shortest)
    windows = sample_windows(contract, trained.preprocessing, sample_lengths(contract))
    features, _ = learn(
        trained.model,
        {name: Feature(tap=tap) for name, tap in taps.items()},
        trained.preprocessing,
        contract,
        trained.call,
    )
    leaks = dict.fromkeys(_leaks(trained, list(layouts), contract, windows.lengths), "sees the future")
    return leaks | {taps[name]: obstacle for name, obstacle in _obstacles(trained, features, windows)}


def _leaks(trained: Trained, taps: Sequence[Tap], contract: InputContract, lengths: NDArray[np.int64]) -> Iterator[Tap]:
    """Yield the taps that depend on observations after the window, which only a data set has."""
    x = make_inputs(trained.preprocessing, contract, lengths)
    with Taps(trained.model, taps, trained.call) as running:
        before, again = running.run(x), running.run(x)
        after = running.run(with_another_future(x, trained.preprocessing))
    for tap in taps:
        if not torch.equal(before[tap], again[tap]):
            continue  # state kept between calls is not a leak, and is reported as what it is
        if not torch.allclose(before[tap], after[tap], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            yield tap


def _obstacles(
    trained: Trained, features: tuple[TappedFeature, ...], windows: WindowBatch
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each feature. All run in one forward, or each in its own if that fails."""
    try:
        together, again, alone = _embed(trained, features, windows)
    except UndertowError as error:
        if len(features) == 1:
            yield features[0].name, str(error)
            return
        for feature in features:
            yield from _obstacles(trained, (feature,), windows)
        return
    x = to_tensors(build_inputs(windows, trained.preprocessing).x, torch.device("cpu"))
    openness = RoundingBound(lambda: left_open(trained, features, x))
    for name, array in together.items():
        apart = distance(array, alone[name])
        if not np.array_equal(array, again[name]):
            yield name, "differs from call to call"
        elif not apart <= TOLERANCE and not apart <= TOLERANCE + 2 * openness.of(name):
            yield name, "depends on the other windows of the batch"


def _embed(
    trained: Trained, features: tuple[TappedFeature, ...], windows: WindowBatch
) -> tuple[VectorsByFeature, VectorsByFeature, VectorsByFeature]:
    embedder = Embedder(
        model=trained.model,
        features=features,
        preprocessing=trained.preprocessing,
        space="",
        sample=windows,
        call=trained.call,
    )

    def embed(some: WindowBatch) -> VectorsByFeature:
        embedded = embedder.embed(some)
        if embedded.faults:
            raise UndertowError(embedded.faults[0].detail)
        return dict(embedded.embeddings.features)

    try:
        together, again = embed(windows), embed(windows)
        singles = [embed(windows.take(np.array([row]))) for row in range(len(windows))]
    finally:
        embedder.close()
    return together, again, {name: np.concatenate([one[name] for one in singles]) for name in together}
