"""Pack a trained checkpoint into an artifact, once, where its owner trusts it.

In: a Lightning checkpoint, taps, a name. Out: a folder of safetensors and JSON, whole or not there. Knows no store.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from workers.artifact.certify import certify, learn
from workers.artifact.checkpoint import read_checkpoint, restore
from workers.artifact.dataset import extract
from workers.artifact.load import KEPT_SAMPLES, make_embedder
from workers.artifact.manifest import MANIFEST, WEIGHTS, Manifest
from workers.artifact.models import build_model, make_recipe
from workers.core.errors import Refused
from workers.core.features import Feature

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LIBRARIES = ("torch", "pytorch-forecasting", "undertow")


def pack(
    checkpoint: Path,
    output: Path,
    *,
    name: str,
    taps: Mapping[str, Feature | str],
    series: Sequence[str] | None = None,
    model_class: str | None = None,
    description: str = "",
    trust: bool = False,
) -> Manifest:
    """Write the artifact to the folder `output`; return its manifest. Raises `Refused`, and then writes nothing.

    `taps` maps feature names to taps, as `Feature` or as text: `{"hidden": "rnn:last+mean"}`. `series` names the id
    columns of the windows, as `wearer`, `wearer:string` or `lap:integer`; without it they are the data set's groups.
    """
    _check(name, taps, output)
    source = read_checkpoint(checkpoint, trust=trust)
    original = restore(source, model_class)
    features = {key: Feature.parse(tap) if isinstance(tap, str) else tap for key, tap in taps.items()}
    preprocessing, contract = extract(source.dataset_parameters, series=series)
    recipe = make_recipe(original, source.hyperparameters)
    weights = _weights(original)
    rebuilt = build_model(recipe)
    rebuilt.load_state_dict(weights)
    tapped, contract = learn(original, features, preprocessing, contract)
    content = safetensors.torch.save(weights)
    draft = Manifest(
        name=name,
        description=description or _describe(original, features),
        model=recipe,
        features=tapped,
        preprocessing=preprocessing,
        contract=contract,
        weights=hashlib.sha256(content).hexdigest(),
        checkpoint=source.digest,
        versions={library: version(library) for library in LIBRARIES},
        sample={},
    )
    embedder = make_embedder(draft, rebuilt)
    vectors = certify(embedder, original, tapped, preprocessing, contract)
    embedder.close()
    sample = {key: tuple(map(tuple, array[:KEPT_SAMPLES].tolist())) for key, array in vectors.items()}
    manifest = replace(draft, sample=sample)
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True, allow_nan=False) + "\n"
    _write(output, {WEIGHTS: content, MANIFEST: text.encode()})
    return manifest


def _check(name: str, taps: Mapping[str, Feature | str], output: Path) -> None:
    for what, text in (("artifact", name), *(("feature", key) for key in taps)):
        if not NAME.fullmatch(text):
            message = f"expected the {what}'s name in small letters, digits and single underscores, found {text!r}"
            raise Refused(message)
    if not taps:
        message = (
            "expected at least one tap, such as hidden=lstm_encoder:last, found none; see what there is: undertow taps"
        )
        raise Refused(message)
    if output.exists():
        message = f"{output} exists, and an artifact is never overwritten; choose another folder or remove it"
        raise Refused(message)


def _describe(model: nn.Module, features: Mapping[str, Feature]) -> str:
    return f"{type(model).__name__}, " + ", ".join(f"{name} = {feature}" for name, feature in features.items())


def _weights(model: nn.Module) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            message = (
                f"expected weights in float32, found {tensor.dtype} in {name}; save the checkpoint in full precision"
            )
            raise Refused(message)
        weights[name] = tensor.detach().clone().contiguous()  # safetensors refuses modules that share their memory
    return weights


def _write(output: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder appear at once and durable, or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        partial.chmod(0o755)
        for name, content in files.items():
            with (partial / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        partial.rename(output)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        message = f"cannot write the artifact to {output}: {error.strerror}"
        raise Refused(message) from error
