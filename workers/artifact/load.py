"""Load an artifact: hashes first, then plain JSON and safetensors. Nothing in it is ever executed.

In: an artifact's folder and a device. Out: an `Embedder` that embeds as it did when it was packed. Knows no checkpoint.
"""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from workers.artifact.faster.prepare import hasten
from workers.artifact.faster.skipping import fill
from workers.artifact.manifest import Manifest, read_manifest, read_weights
from workers.artifact.models import build_model
from workers.artifact.sample import sample_lengths, sample_windows
from workers.core.embedder import Embedder
from workers.core.errors import Refused

KEPT_SAMPLES = 2
TOLERANCE = 1e-4
"""Of a sample's vector, in units of its largest number or of 1: other processors and libraries add in another order."""


def load(path: Path, *, device: str = "auto", threads: int = 1) -> Embedder:
    """Build the embedder of the artifact in the folder `path`. Raises `Refused` for one that is not as it was packed.

    `device` is auto, cpu, cuda, cuda:1, ...; `threads` of a forward on the CPU are set for the whole process.
    """
    manifest = read_manifest(path)
    content = read_weights(path, manifest)
    where = find_device(device)
    torch.set_num_threads(threads)
    model = build_model(manifest.model)
    try:
        fill(model, safetensors.torch.load(content), manifest.pruning.dropped)
    except RuntimeError as error:
        message = (
            f"the weights in {path} do not fit {manifest.model.cls} of these libraries ({_versions(manifest)}): {error}"
        )
        raise Refused(message) from error
    embedder = make_embedder(manifest, model, where)
    _check_sample(embedder, manifest)
    return embedder


def make_embedder(manifest: Manifest, model: nn.Module, device: torch.device | None = None) -> Embedder:
    """Put the parts together. Changes the model: what is not needed no longer runs, and what is slow is rewritten."""
    model.to(device or torch.device("cpu"))
    hasten(model, manifest.features, manifest.pruning, manifest.preprocessing, manifest.contract)
    return Embedder(
        model=model,
        features=manifest.features,
        preprocessing=manifest.preprocessing,
        space=manifest.space,
        sample=sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract)),
        device=device,
    )


def find_device(name: str) -> torch.device:
    """Return the device: `auto` is the first CUDA device, else the CPU. Raises `Refused`."""
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
        torch.backends.cudnn.allow_tf32 = False  # on by default for LSTMs, and 1e-3 away from float32
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _check_sample(embedder: Embedder, manifest: Manifest) -> None:
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    found = embedder.embed(windows)
    for name, rows in manifest.sample.items():
        expected = np.asarray(rows, np.float32)
        difference = float(np.abs(expected - found.embeddings.features[name][: len(rows)]).max(initial=0.0))
        if found.faults or not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0))):
            detail = found.faults[0].detail if found.faults else f"{name} differs by up to {difference:.2g}"
            message = (
                f"the artifact {manifest.name} does not embed its sample windows as it did when packed: {detail} "
                f"({_versions(manifest)}); install those versions, or pack it again with these"
            )
            raise Refused(message)


def _versions(manifest: Manifest) -> str:
    return "packed with " + ", ".join(f"{library} {version}" for library, version in sorted(manifest.versions.items()))
