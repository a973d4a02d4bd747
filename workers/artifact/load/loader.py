"""Load an artifact: check its hashes, then read JSON and safetensors. Executes nothing in it unless `run_compiled`.

A user's own class is imported only from packages that the caller lists.

In: an artifact's folder and a device. Out: an `Embedder` that gives the vectors it gave at packing. Knows no
checkpoint.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from undertow.artifact.dry_runs.layouts import PROBE, WIDER
from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.faster.compiled import run_compiled as run_parts
from undertow.artifact.faster.prepare import hasten
from undertow.artifact.faster.skipping import fill
from undertow.artifact.format.allowed_code import require_allowed_code
from undertow.artifact.format.manifest import Manifest, read_compiled, read_manifest, read_weights
from undertow.artifact.format.recipes import ModuleRecipe, Recipe
from undertow.artifact.format.reductions import split
from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.artifact.load.building import build_model
from undertow.artifact.load.forecast import attach, is_wanted
from undertow.artifact.load.precision import TOLERANCE, in_precision
from undertow.artifact.load.user_code import make_call
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.features import TappedFeature
from undertow.core.memory import is_short_of_memory
from undertow.core.preprocessing import Preprocessing
from undertow.core.reduction import Reduction
from undertow.core.taps import Call
from undertow.schemas.contract import InputContract
from undertow.storage.store_path import AnyPath, as_path

log = logging.getLogger(__name__)

KEPT_SAMPLES = 2
ELSEWHERE = 1e-4
"""The largest difference of a sample's vector from the packed one, relative to its largest number (or to 1 if smaller):
other processors and library versions sum in other orders."""


def load(
    path: AnyPath | str,
    *,
    device: str = "auto",
    threads: int = 1,
    code: Collection[str] = (),
    run_compiled: bool = False,
) -> Embedder:
    """Build the embedder of the artifact in the folder `path`.

    `device`: auto, cpu, cuda, cuda:1, ...
    `threads`: of a forward on the CPU; set for the whole process.
    `code`: the packages from which a user's own model class may be imported.
    `run_compiled`: whether to run native code that the artifact may hold.

    Raises `Refused` for an artifact that is damaged, or that gives other vectors than at packing, and `Unavailable` if
    there is no memory.
    """
    if not isinstance(threads, int) or threads < 1:
        message = f"threads: expected a whole number of 1 or more, found {threads!r}"
        raise Refused(message)
    manifest = read_manifest(path)
    with _refusing(manifest):
        embedder = open_embedder(
            as_path(path), manifest, device=device, threads=threads, code=code, run_compiled=run_compiled
        )
        _check_sample(embedder, manifest)
    return embedder


@contextmanager
def _refusing(manifest: Manifest) -> Iterator[None]:
    """Turn whatever a model raises into `Refused`, with the artifact's name and a remedy, since it worked at packing.

    A lack of memory becomes `Unavailable`, since there may be some later.
    """
    try:
        yield
    except UndertowError:
        raise
    except Exception as error:
        if is_short_of_memory(error):
            message = f"no memory to load the artifact {manifest.name} ({type(error).__name__}: {error}); free some"
            raise Unavailable(message) from error
        message = (
            f"the artifact {manifest.name} cannot be loaded: {type(error).__name__}: {error} ({_versions(manifest)}); "
            "install those versions, or pack it again with these"
        )
        raise Refused(message) from error


def open_embedder(
    path: AnyPath, manifest: Manifest, *, device: str, threads: int, code: Collection[str], run_compiled: bool = False
) -> Embedder:
    """Do all of `load` except comparing the sample vectors, which is left to the caller."""
    content = read_weights(path, manifest)
    where = find_device(device)
    torch.set_num_threads(threads)
    require_allowed_code(manifest.model, code)
    try:
        model = build_model(manifest.model, code)
    except Refused as refusal:
        message = f"the model of the artifact {manifest.name} cannot be built: {refusal} ({_versions(manifest)})"
        raise Refused(message) from refusal
    settle(model, manifest.model, manifest.preprocessing, manifest.contract)
    try:
        weights, reductions = split(safetensors.torch.load(content))
    except SafetensorError as error:
        message = f"the weights in {path} are no safetensors ({error}); pack the artifact again"
        raise Refused(message) from error
    try:
        fill(model, weights, manifest.pruning.dropped)
    except RuntimeError as error:
        message = (
            f"the weights in {path} do not fit {manifest.model.cls} of these libraries ({_versions(manifest)}): {error}"
        )
        raise Refused(message) from error
    embedder = make_embedder(manifest, model, where, reductions)
    if run_compiled:
        use_compiled(embedder, model, manifest, read_compiled(path, manifest), where)
    return embedder


def settle(model: nn.Module, recipe: Recipe, preprocessing: Preprocessing, contract: InputContract) -> None:
    """Run one forward if there are lazy modules (nn.LazyLinear, ...): without shapes they cannot take weights."""
    if isinstance(recipe, ModuleRecipe) and any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        with torch.no_grad():  # not inference_mode: its tensors cannot be changed later
            make_call(model, recipe.input)(make_inputs(preprocessing, contract, np.sort(sample_lengths(contract))))


def make_embedder(
    manifest: Manifest,
    model: nn.Module,
    device: torch.device | None = None,
    reductions: Mapping[str, Reduction] | None = None,
) -> Embedder:
    """Build the embedder. Changes the model: skips what is not needed, and rewrites slow modules.

    Concurrent forwards are serialised unless the certificate says that they are safe (those of older versions do not).
    Without a certificate, during packing, they are not: that is how it is measured.
    """
    certificate = manifest.certificate
    batches, threads = (None, None) if certificate is None else (certificate.batches, certificate.threads)
    device = device or torch.device("cpu")
    model.to(device)
    call = find_call(manifest.model, model, manifest.features, manifest.precision, device)
    hasten(
        model,
        manifest.features,
        manifest.pruning,
        manifest.preprocessing,
        manifest.contract,
        call,
        rewriting=manifest.precision == FLOAT32,  # in bfloat16 no other form gives the same
    )
    return Embedder(
        model=model,
        features=manifest.features,
        preprocessing=manifest.preprocessing,
        space=manifest.space,
        sample=sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract)),
        device=device,
        call=call,
        reductions=reductions,
        is_threadsafe=certificate is None or (threads is not None and threads.is_safe),
        max_windows=None if batches is None else batches.max_windows,
    )


def use_compiled(
    embedder: Embedder, model: nn.Module, manifest: Manifest, contents: Mapping[str, bytes], device: torch.device
) -> tuple[str, ...]:
    """Use the compiled parts if they give the same vectors on this machine; return their paths."""
    if manifest.compiled is None:
        log.warning("model.run_compiled is set, and nothing in this artifact is compiled: undertow pack --compile")
        return ()
    return run_parts(model, manifest.compiled, contents, lambda: embed_samples(embedder, manifest), device.type)


def embed_samples(embedder: Embedder, manifest: Manifest) -> list[Tensor]:
    """Return the vectors of sample windows of several lengths, from longest to shortest, in batches and alone."""
    longest, least = manifest.contract.max_length, manifest.contract.min_length
    sizes = [np.full(count, length) for count in (WIDER, PROBE, 1) for length in {longest, least}]
    found = [
        embedder.embed(sample_windows(manifest.contract, manifest.preprocessing, lengths)).embeddings.features
        for lengths in (sample_lengths(manifest.contract), *sizes)
    ]
    return [torch.from_numpy(vectors) for features in found for vectors in features.values()]


def find_call(
    recipe: Recipe, model: nn.Module, features: Sequence[TappedFeature], precision: Precision, device: torch.device
) -> Call | None:
    """Return the function that calls the model, or None if the model itself is it."""
    call: Call | None = None
    if isinstance(recipe, ModuleRecipe):
        call = make_call(model, recipe.input)
    elif is_wanted(model, [one.feature.tap.path for one in features]):
        call = attach(model)
    return call if precision == FLOAT32 else in_precision(call or model, precision, device)


def find_device(name: str) -> torch.device:
    """Return the device; `auto` means the first CUDA device, or the CPU if there is none. Raises `Refused`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        message = f"expected model.device to be auto, cpu, cuda or cuda:N, found {name!r}"
        raise Refused(message) from error
    if device.type not in {"cpu", "cuda"}:
        message = f"expected model.device to be auto, cpu, cuda or cuda:N, found {name!r}"
        raise Refused(message)
    if device.type == "cuda":
        if (device.index or 0) >= torch.cuda.device_count():
            message = (
                f"model.device is {name}, but torch sees {torch.cuda.device_count()} CUDA devices here; use cpu or auto"
            )
            raise Refused(message)
        torch.backends.cudnn.allow_tf32 = False  # TF32 is torch's default for LSTMs, with errors of 1e-3
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _check_sample(embedder: Embedder, manifest: Manifest) -> None:
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    found = embedder.embed(windows)
    tolerance = max(ELSEWHERE, TOLERANCE[manifest.precision])
    for name, rows in manifest.sample.items():
        expected = np.asarray(rows, np.float32)
        difference = float(np.abs(expected - found.embeddings.features[name][: len(rows)]).max(initial=0.0))
        if found.faults or not difference <= tolerance * max(1.0, float(np.abs(expected).max(initial=0.0))):
            detail = found.faults[0].detail if found.faults else f"{name} differs by up to {difference:.2g}"
            message = (
                f"the artifact {manifest.name} does not embed its sample windows as it did when packed: {detail} "
                f"({_versions(manifest)}); install those versions, or pack it again with these"
            )
            raise Refused(message)


def _versions(manifest: Manifest) -> str:
    code = "" if manifest.model.source is None else f" and the {manifest.model.cls} of that day"
    libraries = ", ".join(f"{library} {version}" for library, version in sorted(manifest.versions.items()))
    return f"packed with {libraries}{code}"
