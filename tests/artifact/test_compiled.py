"""Native code in an artifact: the same vectors, run only where its owner says so and where it was made for."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor

from tests.packing import pack
from undertow.artifact.dry_runs.sample import sample_windows
from undertow.artifact.faster import compiled as running
from undertow.artifact.faster import selection
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.embedder import LEAST_WINDOWS, Embedder
from undertow.core.errors import Refused
from undertow.schemas.windows import WindowBatch
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import ModelSettings
from undertow.wiring.recipes import EmbedRecipe
from undertow.wiring.root import open_embed

PACKAGE = "compiled/0.pt2"
PATH = "encoder_variable_selection"


@pytest.fixture(scope="module")
def packed(trained: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer, compiled once."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("needs a C++ compiler: install g++, or set CXX")
    folder = tmp_path_factory.mktemp("compiled") / "walk"
    taps = {"hidden": "lstm_encoder:last"}
    pack(trained("tft").checkpoint, folder, name="walk", taps=taps, trust=True, is_compiled=True)
    return folder


@pytest.fixture
def artifact(packed: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "walk"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each call of native code was given."""
    sizes: list[int] = []
    open_package = running.open_package

    def watched(content: bytes) -> Callable[..., Any]:
        native = open_package(content)
        return lambda *tensors: sizes.append(len(tensors[0])) or native(*tensors)

    monkeypatch.setattr(running, "open_package", watched)
    return sizes


def windows(folder: Path, lengths: Sequence[int]) -> WindowBatch:
    manifest = read_manifest(folder)
    return sample_windows(manifest.contract, manifest.preprocessing, np.array(lengths))


def vectors(embedder: Embedder, given: WindowBatch) -> NDArray[np.float32]:
    found = embedder.embed(given)
    assert found.faults == ()
    return found.embeddings.features["hidden"]


def reseal(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "manifest.json"
    data = json.loads(file.read_text())
    del data["sha256"]
    change(data)
    file.write_text(json.dumps({**data, "sha256": digest(data)}))


@pytest.mark.parametrize(
    "lengths", [[12], [4], [12] * 2, [5] * 7, [4, 12, 8], [12] * 400, [4 + row % 9 for row in range(100)]], ids=len
)
def test_compiled_modules_give_the_vectors_that_they_give_uncompiled(
    packed: Path, calls: list[int], lengths: list[int]
) -> None:
    given = windows(packed, lengths)
    expected = vectors(load(packed, device="cpu"), given)
    embedder = load(packed, device="cpu", run_compiled=True)
    calls.clear()
    found = vectors(embedder, given)
    assert sum(calls) == max(len(lengths), LEAST_WINDOWS)  # fewer run beside copies
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_compiled_modules_give_what_a_plain_hook_on_the_trained_model_gives(
    packed: Path, trained: Callable[[str], Any], reference: Callable[..., Any], calls: list[int]
) -> None:
    plain = reference(trained("tft"), "lstm_encoder")
    embedder = load(packed, device="cpu", run_compiled=True)
    calls.clear()
    np.testing.assert_allclose(vectors(embedder, plain.windows), plain.last, rtol=0, atol=1e-6)
    assert sum(calls) == len(plain.last)


def test_a_large_batch_passes_through_native_code_in_slices(
    packed: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "ROWS", 60)
    embedder = load(packed, device="cpu", run_compiled=True)
    calls.clear()
    given = windows(packed, [12] * 13)
    found = vectors(embedder, given)
    assert calls == [5, 5, 3]
    np.testing.assert_allclose(found, vectors(load(packed, device="cpu"), given), rtol=0, atol=1e-6)


def test_loading_leaves_no_files_behind(
    packed: Path, calls: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unpacked = {*Path("/tmp").glob("aotinductor_*")}  # noqa: S108 - where torch unpacks what it is given as one file
    embedder = load(packed, device="cpu", run_compiled=True)
    assert calls
    assert list(tmp_path.iterdir()) == []
    assert {*Path("/tmp").glob("aotinductor_*")} <= unpacked  # noqa: S108 - likewise
    embedder.close()


def test_threads_share_compiled_modules(packed: Path) -> None:
    embedder = load(packed, device="cpu", run_compiled=True)
    batches = [windows(packed, [4 + row % 9] * (row + 1)) for row in range(32)]
    expected = [vectors(embedder, batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: vectors(embedder, batch), batches))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_native_code_is_neither_run_nor_read_unless_the_setting_says_so(artifact: Path, calls: list[int]) -> None:
    before = read_manifest(artifact).space
    (artifact / PACKAGE).write_bytes(b"anything")
    embedder = load(artifact, device="cpu")
    vectors(embedder, windows(artifact, [12]))
    assert calls == []
    assert replace(read_manifest(artifact), compiled=None).space == before


def test_the_setting_reaches_the_model_of_a_replica(packed: Path, calls: list[int]) -> None:
    for is_wanted in (False, True):
        model = ModelSettings(artifact=packed, device="cpu", run_compiled=is_wanted)
        nowhere: Any = None
        recipe = EmbedRecipe(model=model, manifest=read_manifest(packed), online=nowhere, offline=OfflineSettings())
        open_embed(recipe)(windows(packed, [12]))
        assert bool(calls) is is_wanted


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(file.read_bytes()[:-1]), Path.unlink])
def test_altered_native_code_is_refused(artifact: Path, damage: Callable[[Path], object], calls: list[int]) -> None:
    damage(artifact / PACKAGE)
    with pytest.raises(Refused, match=r"compiled/0.pt2 (was altered or cut short after packing|is missing)"):
        load(artifact, device="cpu", run_compiled=True)
    assert calls == []


@pytest.mark.parametrize("key", ["torch", "machine", "capability", "instructions", "device"])
def test_native_code_for_another_target_is_not_run_and_a_notice_says_so(
    artifact: Path, key: str, calls: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    reseal(artifact, lambda data: data["compiled"]["target"].update({key: "another"}))
    with caplog.at_level(logging.WARNING):
        embedder = load(artifact, device="cpu", run_compiled=True)
    assert f"the model runs uncompiled, since it was compiled for {key} another, not " in caplog.text
    expected = vectors(load(artifact, device="cpu"), windows(artifact, [12, 4]))
    np.testing.assert_array_equal(vectors(embedder, windows(artifact, [12, 4])), expected)
    assert calls == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda output: output[0] * 1.001, "its sample vectors differ by"),
        (lambda output: output[0] * torch.nan, "its sample vectors differ by inf"),
        (lambda _: 1 // 0, "its compiled parts fail on the sample windows"),
    ],
    ids=["other numbers", "no numbers", "an error"],
)
def test_native_code_that_does_not_give_the_same_is_not_used_and_a_notice_says_so(
    packed: Path,
    spoil: Callable[[Any], Tensor],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_package = running.open_package

    def spoilt(content: bytes) -> Callable[..., Any]:
        native = open_package(content)

        def run(*tensors: Tensor) -> Any:
            output = native(*tensors)
            return spoil(output), output[1]

        return run

    monkeypatch.setattr(running, "open_package", spoilt)
    with caplog.at_level(logging.WARNING):
        embedder = load(packed, device="cpu", run_compiled=True)
    assert "the model runs uncompiled" in caplog.text
    assert said in caplog.text
    given = windows(packed, [12, 4])
    np.testing.assert_array_equal(vectors(embedder, given), vectors(load(packed, device="cpu"), given))


def test_without_a_compiler_the_artifact_is_plain_and_a_notice_says_so(
    trained: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    folder = tmp_path / "walk"
    command = ["pack", str(trained("lstm").checkpoint), "--name", "walk", "--tap", "hidden=rnn:last", "--trust"]
    done = CliRunner().invoke(main, [*command, "--output", str(folder), "--compile"])
    assert done.exit_code == 0, done.output
    assert "note: nothing is compiled: expected a C++ compiler, found no g++ on the PATH" in done.stderr
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "weights.safetensors"]
    assert "compiled" not in json.loads((folder / "manifest.json").read_text())
    with caplog.at_level(logging.WARNING):
        load(folder, device="cpu", run_compiled=True)
    assert "nothing in this artifact is compiled: undertow pack --compile" in caplog.text


def test_the_manifest_names_what_is_compiled_and_for_what(packed: Path) -> None:
    manifest = read_manifest(packed)
    assert manifest.compiled is not None
    assert [(part.path, part.file) for part in manifest.compiled.parts] == [(PATH, PACKAGE)]
    assert manifest.compiled.target == running.find_target("cpu")
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))).compiled == manifest.compiled
