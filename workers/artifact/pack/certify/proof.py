"""Check on sample windows that an artifact gives the vectors it promises, before it is written.

In: a trained model, the embedder that will be packed. Out: the sample vectors and a `Certificate`; or a refusal. Knows
no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.certificate import Certificate, FeatureProof
from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.artifact.load.precision import TOLERANCE, in_precision
from undertow.artifact.pack.certify.batches import try_batches
from undertow.artifact.pack.certify.future import LEAKS, with_another_future
from undertow.artifact.pack.certify.look import look
from undertow.artifact.pack.certify.threads import look_at_threads
from undertow.artifact.pack.certify.whole import RoundingBound, distance, full_forward, left_open
from undertow.artifact.pack.read.trained import Trained
from undertow.core.embedder import Embedder, VectorsByFeature
from undertow.core.errors import Refused, UndertowError
from undertow.core.features import TappedFeature
from undertow.core.reduction import Reduction
from undertow.core.taps import Taps
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch

MIXING = ": what stands before the tap mixes the windows of a batch, as normalising over it or taking it for time does"
PADDING = (
    ": what stands before the tap reads the padding behind a shorter window (a convolution with padding, a backward "
    f"direction, attention without a mask), which windows of one length do not have, or{MIXING.partition('tap')[2]}"
)
KEEPING = (
    ": the model keeps something from one call to the next, as an LSTM whose state is an attribute does, or draws "
    "random numbers; each window must begin anew"
)
SHORT = "; l2 magnifies differences in short vectors, so without it this may hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The size of the weights in the artifact."""

    parameters: int
    size: int
    """Bytes of the file."""


def certify(
    embedder: Embedder,
    trained: Trained,
    features: tuple[TappedFeature, ...],
    contract: InputContract,
    weights: Weights,
    precision: Precision = FLOAT32,
    reductions: Mapping[str, Reduction] = MappingProxyType({}),
    sizes: Sequence[int] = (),
) -> tuple[VectorsByFeature, Certificate]:
    """Return the vectors of the sample windows and the certificate, or raise `Refused`.

    The vectors must be finite, reproducible, the same alone and in batches (of all `sizes`), and the same as plain
    hooks give when the trained model runs to its end; and the inputs must be equal to those of the model's own data
    set. The embedder must not serialise concurrent forwards.
    """
    windows = sample_windows(contract, trained.preprocessing, sample_lengths(contract))
    inputs = None
    if trained.dataset_parameters is not None:
        # pytorch-forecasting is an extra, and only its models come here.
        from undertow.artifact.pack.certify.reference import check_inputs  # noqa: PLC0415

        inputs = check_inputs(windows, trained.preprocessing, trained.dataset_parameters)
    vectors = _embed(embedder, windows)
    _compare("is embedded otherwise the second time", vectors, _embed(embedder, windows), 0.0, KEEPING)
    rows = [np.array([row]) for row in range(len(windows))]
    singles = [_embed(embedder, windows.take(row)) for row in rows]
    alone = {name: np.concatenate([one[name] for one in singles]) for name in vectors}
    order = np.roll(np.arange(len(windows))[::-1], 1)
    mixed = _embed(embedder, windows.take(order))
    shuffled = {name: array[np.argsort(order)] for name, array in mixed.items()}
    x = make_inputs(trained.preprocessing, contract, windows.lengths)
    whole, shapes = full_forward(trained.model, trained.call, features, x, reductions)
    again, _ = full_forward(trained.model, trained.call, features, x, reductions)
    _compare("is embedded otherwise the second time by the whole model", whole, again, TOLERANCE[FLOAT32], KEEPING)
    future = with_another_future(x, trained.preprocessing)
    later, _ = full_forward(trained.model, trained.call, features, future, reductions)
    _compare("has no embedding of its own", whole, later, TOLERANCE[FLOAT32], LEAKS)
    if precision != FLOAT32:
        narrowed = in_precision(trained.call, precision, torch.device("cpu"))
        whole, _ = full_forward(trained.model, narrowed, features, x, reductions)
    tolerance = TOLERANCE[precision]
    openness = RoundingBound(
        lambda: left_open(trained, features, x, reductions) if precision == FLOAT32 else dict.fromkeys(vectors, 0.0)
    )
    reason = PADDING if contract.min_length < contract.max_length else MIXING
    if any(one.feature.l2 for one in features):
        reason += SHORT
    apart = {
        "alone": _compare("is embedded otherwise alone than in a batch", vectors, alone, tolerance, reason, openness),
        "shuffled": _compare("is embedded otherwise among others", vectors, shuffled, tolerance, reason, openness),
        "whole": _compare(
            "is embedded otherwise than by the whole trained model", vectors, whole, tolerance, "", openness
        ),
    }
    batches = try_batches(embedder, contract, trained.preprocessing, sizes, tolerance, openness)
    sights = look(trained, features)
    proofs = tuple(
        FeatureProof(
            name=name,
            hidden=shapes[name],
            left_open=openness.known(name),
            sight=sights.get(name),
            **{what: by_name[name] for what, by_name in apart.items()},
        )
        for name in vectors
    )
    others = sample_windows(
        contract, trained.preprocessing, windows.lengths, {("past", column.name): 1 for column in contract.past}
    )
    with Taps(trained.model, [one.feature.tap for one in features], trained.call) as running:
        threads = look_at_threads(embedder, trained.model, lambda: running.run(x), windows, others)
    return vectors, Certificate(
        windows=len(windows),
        shortest=int(windows.lengths.min()),
        longest=int(windows.lengths.max()),
        tolerance=tolerance,
        features=proofs,
        inputs=inputs,
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        kept=weights.parameters,
        weights_bytes=weights.size,
        batches=batches,
        threads=threads,
    )


def check_again(certificate: Certificate, vectors: VectorsByFeature, found: VectorsByFeature) -> None:
    """Raise `Refused` unless the packed folder, loaded again, gives the certified vectors."""
    for one in certificate.features:
        expected = vectors[one.name]
        if distance(expected, found[one.name]) <= certificate.tolerance + 2 * one.left_open:
            continue
        message = (
            f"the feature {one.name}: loaded in a new process, as a replica loads it, the artifact gives other "
            f"vectors, by up to {float(np.abs(expected - found[one.name]).max()):.2g}, so nothing was written: the "
            "model depends on more than its weights and arguments, such as a variable of its package that this "
            "process has changed; keep what it needs in parameters, buffers or arguments"
        )
        raise Refused(message)


def _embed(embedder: Embedder, windows: WindowBatch) -> VectorsByFeature:
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


def _compare(
    what: str,
    expected: VectorsByFeature,
    found: VectorsByFeature,
    tolerance: float,
    reason: str = "",
    openness: RoundingBound | None = None,
) -> dict[str, float]:
    """Return each feature's largest difference, relative to its largest number (or to 1 if smaller).

    Raises `Refused` above the tolerance, which twice the model's own float32 error (`openness`) may extend.
    """
    apart = {}
    for name, array in expected.items():
        apart[name] = distance(array, found[name])
        if apart[name] <= tolerance or (openness and apart[name] <= tolerance + 2 * openness.of(name)):
            continue
        unit = max(1.0, float(np.abs(array).max()))
        message = (
            f"the feature {name}: a window {what}, by up to {apart[name] * unit:.2g}{reason}; choose another tap "
            "(undertow taps)"
        )
        raise Refused(message)
    return apart
