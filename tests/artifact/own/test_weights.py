"""Weights as they are saved by whatever has wrapped, quantised or trained a module, and what a module may not do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.ao.quantization import quantize_dynamic

from tests.packing import pack
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused

NETS = "statenets"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Describe = Callable[..., Path]


def packed(path: Path, tap: str = "out:last", **options: Any) -> list[str]:
    notes: list[str] = []
    pack(path, path.parent / "a", name="walk", taps={"hidden": tap}, code=[NETS], note=notes.append, **options)
    return notes


@pytest.mark.parametrize(
    ("rename", "note"),
    [
        (lambda key: f"_orig_mod.{key}", "_orig_mod. was taken off their names, which torch.compile"),
        (lambda key: f"module.{key}", "module. was taken off their names"),
        (lambda key: f"_orig_mod.module.{key}", "_orig_mod. and module. was taken off"),
        (lambda key: key.replace("inner.", "inner._orig_mod."), "_orig_mod. was taken off"),
        (lambda key: f"net.{key}", "those under net. were taken, 4 of 5"),
        (lambda key: f"_orig_mod.net.{key}", "those under net. were taken, 4 of 5"),
    ],
)
def test_what_wraps_a_module_is_taken_off_the_names_of_its_weights_and_said(
    rename: Callable[[str], str], note: str, describe: Describe, plain: Any, walks: Any, alone: Any
) -> None:
    path = describe("Small", "ntc")
    model, weights = plain(path, "Small"), path.parent / "model.pt"
    state = {rename(key): value for key, value in torch.load(weights).items()}
    if "net." in next(iter(state)):
        state["loss.scale"] = torch.ones(1)
    torch.save(state, weights)
    (said,) = packed(path)
    assert said.startswith(f"of the weights in model.pt, {note}")
    windows = walks([9, 4])
    with torch.inference_mode():
        expected = [model(one[None])[0, -1].numpy() for one in alone(windows)]
    found = load(path.parent / "a", code=[NETS]).embed(windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_names_that_do_not_fit_are_listed_in_a_line(describe: Describe) -> None:
    path = describe("Small", "ntc")
    state = torch.load(path.parent / "model.pt")
    state["head.weight"] = state.pop("out.weight")
    torch.save(state, path.parent / "model.pt")
    with pytest.raises(Refused, match=r"do not fit Small .*found no out\.weight and head\.weight, which it has not$"):
        packed(path)


def dynamic(_: Any) -> Any:
    return quantize_dynamic(nn.Sequential(nn.Linear(2, 3)), {nn.Linear}).state_dict()


def recurrent(_: Any) -> Any:
    return quantize_dynamic(nn.Sequential(nn.LSTM(2, 3)), {nn.LSTM}).state_dict()


def per_tensor(state: Any) -> Any:
    return {**state, "out.weight": torch.quantize_per_tensor(state["out.weight"], 0.1, 0, torch.qint8)}


def whole_numbers(state: Any) -> Any:
    return {**state, "out.weight": (state["out.weight"] * 100).to(torch.int8)}


@pytest.mark.parametrize("quantise", [dynamic, recurrent, per_tensor, whole_numbers])
def test_quantised_weights_are_refused_for_what_they_are(quantise: Any, describe: Describe) -> None:
    path = describe("Small", "ntc")
    weights = path.parent / "model.pt"
    torch.save(quantise(torch.load(weights)), weights)
    with pytest.raises(Refused, match=r"in float32, found .*: quantised modules are not taken; save the state_dict of"):
        packed(path)


@pytest.mark.parametrize(("tap", "dtype"), [("waves", "complex64"), ("codes", "int64")])
def test_a_tap_of_complex_or_whole_numbers_is_refused_as_taps_shows_it(
    tap: str, dtype: str, describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = describe("Complex", "ntc")
    with pytest.raises(Refused, match=rf"the feature hidden: the tap {tap}#0 gives {dtype}, no numbers to embed"):
        packed(path, f"{tap}:mean")
    packed(path, "out:mean")  # what it has beside the tap is the model's own matter
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(main, ["taps", str(path), "--code", NETS], catch_exceptions=False).output
    assert f"{dtype}, no numbers to embed" in shown


@pytest.mark.parametrize("tap", ["rnn", "out"])
def test_a_module_that_keeps_its_state_between_calls_is_refused_for_that(tap: str, describe: Describe) -> None:
    with pytest.raises(Refused, match=r"the second time.*the model keeps something from one call to the next"):
        packed(describe("Keeping", "ntc", least=9), f"{tap}:last")
