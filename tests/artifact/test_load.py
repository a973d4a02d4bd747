"""Loading: an artifact is as it was packed, or it is refused; and nothing heavy is imported to look at it."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.packing import pack
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import find_device, load
from undertow.core.errors import Refused, Unavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def packed(trained: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "walk"
    pack(trained("lstm").checkpoint, folder, name="walk", taps={"hidden": "rnn:last"}, trust=True)
    return folder


@pytest.fixture
def artifact(packed: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "walk"))


def reseal(artifact: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter the manifest as a forger would, with a hash that fits."""
    file = artifact / "manifest.json"
    data = json.loads(file.read_text())
    del data["sha256"]
    change(data)
    file.write_text(json.dumps({**data, "sha256": digest(data)}))


def test_an_artifact_gives_its_sample_vectors_again_wherever_it_lies(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    found = load(artifact).embed(windows).embeddings
    assert found.space == manifest.space
    np.testing.assert_allclose(found.features["hidden"][:2], np.array(manifest.sample["hidden"]), rtol=0, atol=1e-6)


def test_a_flipped_bit_in_the_weights_is_refused(artifact: Path) -> None:
    file = artifact / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Refused, match=r"weights.safetensors was altered or cut short after packing"):
        load(artifact)


def test_weights_cut_short_are_refused(artifact: Path) -> None:
    file = artifact / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(Refused, match="altered or cut short"):
        load(artifact)


def test_a_pickle_in_the_place_of_the_weights_is_never_run(artifact: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Poison:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (mark,)

    content = pickle.dumps(Poison())
    (artifact / "weights.safetensors").write_bytes(content)
    with pytest.raises(Refused, match="was altered or cut short"):
        load(artifact)
    forged = hashlib.sha256(content).hexdigest()
    reseal(artifact, lambda data: data.update(weights=forged))
    reseal(artifact, lambda data: data.update(space=Manifest.from_json({**data, "sha256": ""}).space))
    with pytest.raises(Refused, match="are no safetensors"):
        load(artifact)
    assert not mark.exists()


def test_missing_weights_are_refused(artifact: Path) -> None:
    (artifact / "weights.safetensors").unlink()
    with pytest.raises(Refused, match=r"weights.safetensors is missing"):
        load(artifact)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"name": "walk"', '"name": "run"', "was altered after packing"),
        ("}", "", "is damaged"),
        ('"sha256"', '"sha"', "is damaged"),
        ('"format": 2', '"format": 1', "has format 1, this version reads 2"),
    ],
)
def test_an_altered_manifest_is_refused(artifact: Path, old: str, new: str, message: str) -> None:
    file = artifact / "manifest.json"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(Refused, match=rf"manifest.json.*{message}"):
        read_manifest(artifact)


def test_a_folder_without_an_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"expected an artifact in .*undertow pack"):
        read_manifest(tmp_path)


def test_a_forged_space_is_refused(artifact: Path) -> None:
    reseal(artifact, lambda data: data.update(space="0" * 64))
    with pytest.raises(Refused, match="names the space 00000000"):
        read_manifest(artifact)


def test_a_class_that_was_not_foreseen_is_never_imported(artifact: Path) -> None:
    forge(artifact, lambda data: data["model"].update({"class": "subprocess.Popen"}))
    with pytest.raises(Refused, match=r"expected a model class of .*, found 'subprocess.Popen'"):
        load(artifact)


def test_a_loss_that_was_not_foreseen_is_never_built(artifact: Path) -> None:
    forge(artifact, lambda data: data["model"].update({"losses": ["np", "MAE"]}))
    with pytest.raises(Refused, match="expected the loss to be a metric"):
        load(artifact)


def forge(artifact: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter what decides the space too, and name the space that follows from it."""

    def both(data: dict[str, Any]) -> None:
        change(data)
        parts = ("weights", "model", "features", "preprocessing", "numeric")
        data["space"] = digest({part: data[part] for part in parts})

    reseal(artifact, both)


def test_weights_of_another_model_are_refused(artifact: Path) -> None:
    forge(artifact, lambda data: data["model"]["hyperparameters"].update(hidden_size=9))
    with pytest.raises(Refused, match=r"do not fit pytorch_forecasting.RecurrentNetwork"):
        load(artifact)


def test_an_artifact_that_no_longer_embeds_as_when_packed_is_refused(artifact: Path) -> None:
    reseal(artifact, lambda data: data["sample"].update(hidden=[[0.9] * 8, [0.9] * 8]))
    with pytest.raises(Refused, match="does not embed its sample windows as it did when packed: hidden differs"):
        load(artifact)


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory")], ids=repr)
def test_memory_that_is_short_while_loading_is_waited_for(
    error: Exception, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_given: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr("undertow.artifact.load.loader.open_embedder", no_room)
    with pytest.raises(Unavailable, match="no memory to load the artifact walk"):
        load(packed)


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99"])
def test_a_device_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=r"model.device"):
        find_device(name)


def test_weights_are_plain_numbers(artifact: Path) -> None:
    weights = safetensors.torch.load_file(artifact / "weights.safetensors")
    assert weights["rnn.weight_ih_l0"].shape == (32, 3)


def imported(code: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after running `code`."""
    program = f"{code}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.splitlines()[-1].split())


def test_a_manifest_is_read_without_torch_or_any_vendor(packed: Path) -> None:
    code = (
        "from pathlib import Path; from undertow.artifact.format.manifest import read_manifest; "
        "read_manifest(Path({!r}))"
    )
    heavy = {
        "torch",
        "pytorch_forecasting",
        "lightning",
        "pandas",
        "sklearn",
        "kafka",
        "ray",
        "feast",
        "redis",
        "pydantic",
    }
    assert imported(code.format(str(packed))) & heavy == set()


def test_artifacts_are_packed_and_loaded_without_kafka_ray_or_feast(packed: Path) -> None:
    parts = (ROOT / "workers/artifact").rglob("[a-z]*.py")
    names = (".".join(file.relative_to(ROOT / "workers").with_suffix("").parts) for file in parts)
    modules = ",".join(f"undertow.{name}" for name in names)
    load = f"undertow.artifact.load.loader.load(Path({str(packed)!r}), device='cpu')"
    code = f"import {modules}; from pathlib import Path; {load}"
    assert imported(code) & {"kafka", "ray", "feast", "redis", "click"} == set()


def test_the_core_needs_no_vendor_and_no_settings() -> None:
    modules = ",".join(f"undertow.core.{file.stem}" for file in (ROOT / "workers/core").glob("[a-z]*.py"))
    vendors = {"kafka", "ray", "feast", "redis", "pydantic", "click", "rich", "pytorch_forecasting", "lightning"}
    assert imported(f"import {modules}") & vendors == set()
