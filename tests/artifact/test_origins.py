"""Checkpoints that are not pytorch-forecasting's: what they are is said, and how their networks are packed instead."""

import gzip
import io
import pickle
import re
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from torch import nn

from tests.packing import pack
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.read.file_kinds import find_kind
from undertow.artifact.pack.read.state import read_state
from undertow.cli.main import main
from undertow.core.errors import Refused

TOML = """
class = "oddnets:Gated"
weights = "{weights}"
[input]
columns = ["a", "b"]
max_length = 4
[series]
site = "string"
"""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 651614\n"
LIGHTNING = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.6.6", "loops": {}}


@pytest.fixture(scope="module")
def state() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import oddnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield oddnets.Gated().state_dict()
    del sys.modules["oddnets"]


@contextmanager
def foreign(module: str, name: str) -> Iterator[Any]:
    """Give an object of a class that is installed for so long."""
    packages = [module[:end] for end, sign in enumerate(f"{module}.") if sign == "."]
    for package in packages:
        sys.modules[package] = types.ModuleType(package)
    cls = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, cls)
    try:
        yield cls()
    finally:
        for package in packages:
            del sys.modules[package]


def darts(state: dict[str, Any], path: Path) -> None:
    """Write what darts' PLForecastingModule.on_save_checkpoint adds."""
    more = {"model_dtype": torch.float32, "train_sample_shape": [(4, 2)], "loss_fn": nn.MSELoss()}
    torch.save({**LIGHTNING, "state_dict": state, "hyper_parameters": {"input_chunk_length": 4}, **more}, path)


def darts_whole(_: dict[str, Any], path: Path) -> None:
    """Write what darts' `model.save` does: the object."""
    with foreign("darts.models.forecasting.nbeats", "NBEATSModel") as model:
        torch.save(model, path)


def neuralforecast(state: dict[str, Any], path: Path) -> None:
    with foreign("neuralforecast.losses.pytorch", "MAE") as loss:
        torch.save({"hyper_parameters": {"h": 3, "input_size": 4, "loss": loss}, "state_dict": state}, path)


def gluonts(state: dict[str, Any], path: Path) -> None:
    kept = {"model_kwargs": {"prediction_length": 3}, "lr": 0.001}
    torch.save({**LIGHTNING, "state_dict": {f"model.{k}": v for k, v in state.items()}, "hyper_parameters": kept}, path)


FILES: dict[str, tuple[Callable[[dict[str, Any], Path], object], str]] = {
    "darts": (darts, "a model of darts"),
    "darts, whole": (darts_whole, "a model of darts"),
    "neuralforecast": (neuralforecast, "a model of neuralforecast"),
    "gluonts": (gluonts, "a model of GluonTS"),
    "state_dict": (torch.save, "a bare state_dict of 8 tensors"),
    "own": (lambda state, path: torch.save({"net": state, "epoch": 3}, path), "a dict of net, epoch"),
    "numbers": (lambda _, path: torch.save([1, 2], path), "a list"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_others_is_named_and_its_way_through_a_toml_is_shown(
    case: str, state: dict[str, Any], tmp_path: Path
) -> None:
    make, found = FILES[case]
    make(state, tmp_path / "model.ckpt")
    with pytest.raises(Refused) as refused:
        pack(tmp_path / "model.ckpt", tmp_path / "a", name="walk", taps={"hidden": "calm"}, trust=True)
    said = str(refused.value)
    assert found in said
    assert 'weights = "model.ckpt"' in said
    assert "undertow pack model.toml --code package" in said
    assert "\n" not in said


@pytest.mark.parametrize("case", ["gluonts", "state_dict", "own"])
def test_what_holds_no_objects_is_told_without_asking_for_trust(
    case: str, state: dict[str, Any], tmp_path: Path
) -> None:
    make, found = FILES[case]
    make(state, tmp_path / "model.ckpt")
    done = CliRunner().invoke(main, ["taps", str(tmp_path / "model.ckpt")])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert found in done.output.replace("\n", " ")


@pytest.mark.parametrize("case", ["darts", "neuralforecast", "gluonts", "state_dict"])
def test_the_way_through_a_toml_leads_to_an_artifact(case: str, state: dict[str, Any], tmp_path: Path) -> None:
    if case == "neuralforecast":  # its loss is an object of a package that is not there
        torch.save({"hyper_parameters": {"h": 3, "input_size": 4}, "state_dict": state}, tmp_path / "model.ckpt")
    else:
        FILES[case][0](state, tmp_path / "model.ckpt")
    (tmp_path / "model.toml").write_text(TOML.format(weights="model.ckpt"))
    given = {"name": "walk", "taps": {"hidden": "calm:mean"}, "code": ["oddnets"]}
    pack(tmp_path / "model.toml", tmp_path / "a", trust=case == "darts", **given)
    torch.save(state, tmp_path / "plain.pt")
    (tmp_path / "plain.toml").write_text(TOML.format(weights="plain.pt"))
    plain = pack(tmp_path / "plain.toml", tmp_path / "b", **given)
    assert read_manifest(tmp_path / "a").space == plain.space
    windows = sample_windows(plain.contract, plain.preprocessing, sample_lengths(plain.contract))
    assert np.isfinite(load(tmp_path / "a", code=["oddnets"]).embed(windows).embeddings.features["hidden"]).all()


@pytest.mark.parametrize("name", ["model.ckpt", "model.toml"])
def test_a_pointer_of_git_lfs_says_what_it_stands_for_and_what_fetches_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(POINTER)
    (tmp_path / "model.toml").write_text(
        TOML.format(weights="model.ckpt").replace("oddnets:Gated", "torch.nn:Identity")
    )
    with pytest.raises(Refused, match=r"is a pointer of Git LFS that stands for a file of 651,614 bytes.*git lfs pull"):
        pack(tmp_path / name, tmp_path / "a", name="walk", taps={"hidden": "calm"}, code=["torch"], model_class=None)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no pickle at all", pickle.dumps({"a": 1})])
def test_a_file_that_torch_cannot_read_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(Refused) as refused:
        pack(tmp_path / "model.ckpt", tmp_path / "a", name="walk", taps={"hidden": "calm"}, trust=True)
    assert "\n" not in str(refused.value)


def packed_by_zip(**files: str) -> bytes:
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sink.getvalue()


def parquet() -> bytes:
    pq.write_table(pa.table({"a": [1]}), sink := io.BytesIO())
    return sink.getvalue()


KINDS = {
    "nothing": (b"", "an empty file"),
    "code": (b"import torch\n\nmodel = torch.nn.Linear(1, 1)\n", "a text"),
    "toml": (TOML.encode(), "a description in TOML: let its name end in .toml"),
    "parquet": (parquet(), "a Parquet file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture (PNG)"),
    "gzip": (gzip.compress(b"x"), "a file packed by gzip"),
    "safetensors": (
        safetensors.torch.save({"a": torch.zeros(1)}),
        "a safetensors file, which holds weights alone: a T",
    ),
    "zip": (packed_by_zip(text="hello"), "a zip archive without a model (it begins with 'text')"),
    "zip, cut": (packed_by_zip(text="hello" * 9)[:-30], "a zip archive, as torch.save writes one, that is cut off"),
    "zeros": (bytes(1000), "bytes of no kind that is known here"),
    "text in latin-1": ("é".encode("latin-1"), "bytes of no kind that is known here"),
}


@pytest.mark.parametrize("command", ["taps", "pack"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_torch_cannot_have_written_is_named_and_nobody_is_asked_to_trust_it(
    kind: str, command: str, tmp_path: Path
) -> None:
    content, found = KINDS[kind]
    (tmp_path / "train.py").write_bytes(content)
    if command == "taps":
        done = CliRunner().invoke(main, ["taps", str(tmp_path / "train.py")])
        assert done.exit_code == 1
        said = done.output
    else:  # as the command does, without its process in the background
        with pytest.raises(Refused) as refused:
            pack(tmp_path / "train.py", tmp_path / "a", name="walk", taps={"hidden": "calm"})
        said = str(refused.value)
    assert f"found {found}" in said
    assert "trust" not in said
    assert "pickle" not in said


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"safetensors"}))
def test_weights_of_a_toml_that_torch_cannot_have_written_are_named_too(
    kind: str, state: dict[str, Any], tmp_path: Path
) -> None:
    assert state
    (tmp_path / "weights.ckpt").write_bytes(KINDS[kind][0])
    with pytest.raises(Refused, match=re.escape(f"a state_dict and nothing else, found {KINDS[kind][1]}")) as refused:
        read_state(tmp_path / "weights.ckpt")
    assert "trust" not in str(refused.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("held", [[], {"a": 1}, ["text", 2.5], np.arange(3)], ids=repr)
def test_a_pickle_of_any_protocol_is_taken_for_one(held: object, protocol: int) -> None:
    assert find_kind(pickle.dumps(held, protocol)) is None


@pytest.mark.parametrize("text", ["", ".", "import pickle\n", "(dp0\n", "i\na\nb\n", "I1\n", "no."])
def test_a_text_is_not_taken_for_a_pickle(text: str) -> None:
    assert (find_kind(text.encode()) or "").endswith(("a text", "an empty file"))
