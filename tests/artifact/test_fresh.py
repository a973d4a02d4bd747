"""`pack` ends by loading the folder that it wrote in a process of its own, and nothing is left where that fails."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.packing import look_here
from tests.packing import pack as pack_here
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.certify.fresh import _read, look_afresh
from undertow.artifact.pack.packer import pack
from undertow.core.errors import Refused

HERE = Path(__file__).parent
TOML = """
class = "ownnets:{name}"
weights = "model.pt"
[input]
columns = ["ax", "ay"]
axes = "{axes}"
min_length = 5
max_length = 9
[series]
wearer = "string"
"""


@pytest.fixture(scope="module")
def nets() -> Iterator[Any]:
    """A package of somebody's modules, which other processes find as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", str(HERE))
        import ownnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield ownnets
    del sys.modules["ownnets"]


@pytest.fixture
def describe(nets: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the weights of a module that has seen a window, and its TOML."""

    def write(name: str, axes: str = "ntc") -> Path:
        torch.manual_seed(4)
        model = getattr(nets, name)()
        model(torch.randn(2, 9, 2) if axes == "ntc" else torch.randn(2, 2, 9))
        torch.save(model.state_dict(), tmp_path / "model.pt")
        (tmp_path / "model.toml").write_text(TOML.format(name=name, axes=axes))
        return tmp_path / "model.toml"

    return write


@pytest.mark.parametrize("look", [look_afresh, look_here], ids=["process", "here"])
def test_whoever_looks_at_a_folder_gives_its_vectors(look: Any, describe: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "a"
    manifest = pack_here(describe("Scaled"), folder, name="walk", taps={"hidden": "out:mean"}, code=["ownnets"])
    found = look(folder, ["ownnets"], 1)
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    expected = load(folder, code=["ownnets"]).embed(windows).embeddings.features["hidden"]
    assert found["hidden"].dtype == np.float32
    np.testing.assert_array_equal(found["hidden"], expected)


@pytest.mark.parametrize("tap", ["out:last", "first:mean"])
def test_lazy_modules_are_packed_and_load(tap: str, describe: Callable[..., Path], nets: Any, tmp_path: Path) -> None:
    look = look_afresh if tap == "out:last" else look_here
    taps = {"hidden": tap}
    manifest = pack(describe("Lazy", "nct"), tmp_path / "a", name="walk", taps=taps, code=["ownnets"], afresh=look)
    assert bool(manifest.pruning.dropped) == (tap == "first:mean")  # whose sizes no file tells then
    windows = sample_windows(manifest.contract, manifest.preprocessing, np.array([7]))
    x = torch.from_numpy(np.stack([windows.past["ax"], windows.past["ay"]]).astype(np.float32))[None]
    model = nets.Lazy()
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    with torch.inference_mode():
        expected = model.eval()(x)[0, -1] if tap == "out:last" else model.eval().first(x)[0].mean(1)
    found = load(tmp_path / "a", code=["ownnets"]).embed(windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=0, atol=1e-6)


def test_what_only_this_process_knows_is_no_part_of_an_artifact(
    describe: Callable[..., Path], nets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nets, "FACTOR", 3.0)
    with pytest.raises(Refused, match=r"the feature hidden: loaded in a new process.*nothing was written"):
        pack(describe("Scaled"), tmp_path / "a", name="walk", taps={"hidden": "out"}, code=["ownnets"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "model.toml"]


def test_code_that_only_this_process_finds_is_told(
    describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(Refused, match=r"nothing was written: in a new process.*cannot import ownnets.*PYTHONPA"):
        pack(describe("Scaled"), tmp_path / "a", name="walk", taps={"hidden": "out"}, code=["ownnets"])
    assert not (tmp_path / "a").exists()


def test_a_process_that_ends_without_an_answer_is_told_with_its_last_words() -> None:
    with pytest.raises(Refused, match=r"does not load: it ended with -11 / File .net.py. / Fatal"):
        _read("", 'File "net.py"\nFatal\n', -11)
    assert _read(json.dumps({"vectors": {"hidden": [[1.5]]}}), "", 0)["hidden"].tolist() == [[1.5]]


def test_files_and_folders_are_durable_before_the_folder_has_its_name(
    describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []

    def fsync(descriptor: int, real: Any = os.fsync) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.name if path.is_file() else ("parent" if path == tmp_path else "folder"), folder.exists()))
        real(descriptor)

    folder = tmp_path / "a"
    toml = describe("Scaled")
    monkeypatch.setattr(os, "fsync", fsync)
    pack_here(toml, folder, name="walk", taps={"hidden": "out"}, code=["ownnets"])
    assert sorted(synced[:2]) == [("manifest.json", False), ("weights.safetensors", False)]
    assert synced[2:] == [("folder", False), ("parent", True)]


def test_paths_may_be_texts(describe: Callable[..., Path], tmp_path: Path) -> None:
    folder = str(tmp_path / "a")
    pack_here(str(describe("Scaled")), folder, name="walk", taps={"hidden": "out"}, code=["ownnets"])
    assert read_manifest(folder).name == "walk"
    assert load(folder, code=["ownnets"])
    shutil.rmtree(folder)
