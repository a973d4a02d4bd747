"""Somebody's code: imported only where it was listed, called only where it makes a module; weights."""

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tests.packing import pack
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.format.recipes import ModuleInput, ModuleRecipe
from undertow.artifact.load.loader import load
from undertow.artifact.load.user_code import build_module
from undertow.cli.main import main
from undertow.commands.check import _parts
from undertow.core.errors import Refused
from undertow.schemas.windows import WindowBatch
from undertow.settings.settings import load as load_settings
from undertow.wiring.recipes import EmbedRecipe, embed_recipes
from undertow.wiring.root import open_embed

NETS = """
import subprocess
from pathlib import Path
import torch
from torch import nn
from torch.hub import load as borrowed
from torch.nn import Linear

Path(__file__).with_name("imported").touch()

class Twice(nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.out = nn.Linear(2, size)
    def forward(self, x):
        return torch.tanh(self.out(x))

class NoModule:
    pass

def unsaid(path):
    Path(path).touch()

def lies() -> nn.Module:
    return 7

def made(size) -> "nn.Module":
    return Twice(size)
"""
TOML = """
class = "foreignnets:Twice"
weights = "model.pt"
[input]
columns = ["a", "b"]
min_length = 1
max_length = 4
[input.scaling]
a = { center = 1.0, scale = 2.0 }
[series]
wearer = "string"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with somebody's package, weights and TOML; the package is not imported yet."""
    for name in [name for name in os.environ if name.upper().startswith("UNDERTOW_")]:
        monkeypatch.delenv(name)
    (tmp_path / "foreignnets.py").write_text(NETS)
    (tmp_path / "model.toml").write_text(TOML)
    torch.manual_seed(2)
    torch.save({"out.weight": torch.randn(2, 2), "out.bias": torch.randn(2)}, tmp_path / "model.pt")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("foreignnets", None)


@pytest.fixture
def artifact(folder: Path) -> Path:
    """An artifact of the package's, which must be imported anew to load it."""
    pack(folder / "model.toml", folder / "a", name="walk", taps={"hidden": "out:last"}, code=["foreignnets"])
    del sys.modules["foreignnets"]
    (folder / "imported").unlink()
    return folder / "a"


def recipe(cls: str, **arguments: Any) -> ModuleRecipe:
    return ModuleRecipe(cls=cls, arguments=arguments, source="", input=ModuleInput())


def test_an_artifact_imports_nothing_that_was_not_listed(artifact: Path, folder: Path) -> None:
    with pytest.raises(Refused, match=r"--set 'model.code=\[\"foreignnets\"\]'"):
        load(artifact)
    with pytest.raises(Refused, match=r"found other, nets"):
        load(artifact, code=["other", "nets"])
    assert "foreignnets" not in sys.modules
    assert not (folder / "imported").exists()
    assert load(artifact, code=["foreignnets"])
    assert (folder / "imported").exists()


def test_a_command_is_no_model_and_is_never_called(folder: Path) -> None:
    mark = folder / "mark"
    with pytest.raises(Refused, match=r"the model is os:system, and importing os runs its code"):
        build_module(recipe("os:system", command=f"touch {mark}"), code=["foreignnets"])
    with pytest.raises(Refused, match=r"expected os:system to be a class of nn.Module.*found a builtin_function"):
        build_module(recipe("os:system", command=f"touch {mark}"), code=["os"])
    with pytest.raises(Refused, match="found a function of foreignnets"):
        build_module(recipe("foreignnets:unsaid", path=str(mark)), code=["foreignnets"])
    assert not mark.exists()


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        ("foreignnets.Twice", r"expected a class as package.module:Name"),
        ("foreignnets:subprocess.run", r"expected a class as package.module:Name"),
        ("foreignnets:Twise", "no Twise in foreignnets; closest: Twice"),
        ("foreignnets:NoModule", "found the class NoModule of foreignnets"),
        ("foreignnets:subprocess", "found a module of foreignnets"),
        ("foreignnets:borrowed", "found a function of torch.hub"),
        ("foreignnets:Linear", r"found the class Linear of torch.nn.modules.linear"),
        ("foreignnets:lies", "to make an nn.Module, found int"),
        ("foreignnets:made", r"cannot be built with its arguments \(none\): TypeError"),
        ("foreignnets.other:Twice", "cannot import foreignnets.other.*PYTHONPATH"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_makes_no_module_is_refused(cls: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        build_module(recipe(cls), code=["foreignnets"])


@pytest.mark.usefixtures("folder")
def test_a_module_is_called_in_eval_mode_whatever_mode_it_was_left_in() -> None:
    assert not build_module(recipe("foreignnets:made", size=3), code=["foreignnets"]).training


class Poison:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def write_poison(path: Path) -> None:
    path.write_bytes(pickle.dumps({"out.weight": Poison(path.parent / "mark")}, protocol=2))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "poison": (write_poison, "a state_dict and nothing else, found an object of posix.system"),
    "module": (lambda path: torch.save(nn.Linear(2, 2), path), r"found an object of torch.nn.modules.linear.Linear"),
    "nested": (lambda path: torch.save({"state_dict": {}, "epoch": 3}, path), "found a dict of state_dict, epoch"),
    "half": (lambda path: torch.save(nn.Linear(2, 2).half().state_dict(), path), "in float32, found torch.float16"),
    "other": (lambda path: torch.save(nn.Linear(2, 2).state_dict(), path), "do not fit Twice with its arguments"),
    "none": (Path.unlink, r"cannot read the weights .*torch.save\(model.state_dict\(\), PATH\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_are_no_state_dict_of_the_module_are_refused_and_never_run(case: str, folder: Path) -> None:
    write, message = WRONG[case]
    write(folder / "model.pt")
    with pytest.raises(Refused, match=message):
        pack(folder / "model.toml", folder / "a", name="walk", taps={"hidden": "out"}, code=["foreignnets"])
    assert not (folder / "mark").exists()
    assert not (folder / "a").exists()


def test_other_code_is_another_space_and_does_not_load_as_the_old_one(artifact: Path, folder: Path) -> None:
    (folder / "foreignnets.py").write_text(NETS.replace("self.out(x)", "self.out(2 * x)"))
    with pytest.raises(Refused, match=r"does not embed its sample windows.*and the foreignnets:Twice of that day"):
        load(artifact, code=["foreignnets"])
    other = pack(folder / "model.toml", folder / "b", name="walk", taps={"hidden": "out"}, code=["foreignnets"])
    assert other.space != read_manifest(artifact).space


def test_a_window_tried_again_is_not_what_the_module_has_written_into_it(folder: Path) -> None:
    """A module that writes into its input and then fails is tried again with half of the windows."""
    greedy = "x -= 1.0\n        if len(x) == 5: raise ValueError\n        return torch.tanh(self.out(x))"
    (folder / "foreignnets.py").write_text(NETS.replace("return torch.tanh(self.out(x))", greedy))
    pack(folder / "model.toml", folder / "a", name="walk", taps={"hidden": "out:last"}, code=["foreignnets"])
    embedder = load(folder / "a", code=["foreignnets"])
    windows = WindowBatch(
        series={"wearer": np.array(list("abcde"), object)},
        end_us=np.arange(5),
        lengths=np.ones(5, np.int64),
        past={"a": np.arange(5.0), "b": np.ones(5)},
        future={},
        static={},
    )
    together = embedder.embed(windows).embeddings.features["hidden"]
    alone = [embedder.embed(windows.take(np.array([row]))).embeddings.features["hidden"][0] for row in range(5)]
    np.testing.assert_allclose(together, np.stack(alone), rtol=0, atol=1e-6)


def test_the_command_packs_a_toml_with_code_from_the_option_or_the_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    command = ["pack", "model.toml", "--name", "walk", "--tap", "out:last", "--output"]
    refused = CliRunner().invoke(main, [*command, "a"])
    assert refused.exit_code == 1
    assert "or --code foreignnets when packing" in refused.output
    assert CliRunner().invoke(main, [*command, "a", "--code", "foreignnets"]).exit_code == 0
    done = CliRunner().invoke(main, [*command, "b", "--set", 'model.code=["foreignnets"]'])
    assert (done.exit_code, "Twice, embedding = out#0:last" in done.output) == (0, True)
    wrong = CliRunner().invoke(main, [*command, "c", "--model-class", "pytorch_forecasting.DeepAR"])
    assert "model.toml names its class itself; leave --model-class out" in wrong.output


def test_the_setting_is_looked_at_before_any_replica_starts(
    artifact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match=r"Code is imported only from packages that model.code lists, found none"):
        embed_recipes(load_settings([f"model.artifact={artifact}"]))
    with pytest.raises(Refused, match=r"--set 'model.code=\[\"foreignnets\"\]'"):
        dict(_parts(load_settings([f"model.artifact={artifact}"])))["artifact"]()  # of `undertow check`
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", '["foreignnets"]')
    settings = load_settings([f"model.artifact={artifact}"])
    assert settings.model.code == ("foreignnets",)
    assert not (folder / "imported").exists()
    recipe = EmbedRecipe(model=settings.model, manifest=read_manifest(artifact), online=None, offline=settings.offline)
    embed = open_embed(recipe)  # as a replica does, and an actor of a backfill
    manifest = recipe.manifest
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    assert embed(windows).embeddings.features["hidden"][:2].tolist() == [
        pytest.approx(row, abs=1e-6) for row in manifest.sample["hidden"]
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("value", ['["foreignnets.nets"]', "foreignnets", "[3]"])
def test_a_setting_that_names_no_packages_is_refused(value: str) -> None:
    with pytest.raises(Refused, match=r"model.code"):
        load_settings([f"model.code={value}"])
