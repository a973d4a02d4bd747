"""Modules whose tensors or parts cannot be looked at: their other layers are tapped, they are refused in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.read.trained import read_trained
from undertow.artifact.pack.survey.survey import survey
from undertow.cli.main import main
from undertow.core.errors import Refused

NETS = "formnets"
LENGTHS = [9, 5, 7, 9, 5]
Describe = Callable[..., Path]
ParsableBatches = Callable[..., Any]


def embedded(path: Path, tap: str, windows: Any) -> Any:
    pack(path, path.parent / "a", name="walk", taps={"hidden": tap}, code=["formnets"])
    return load(path.parent / "a", code=["formnets"]).embed(windows).embeddings.features["hidden"]


def points(path: Path) -> dict[str, str | None]:
    found = survey(read_trained(path, trust=False, code=["formnets"]))
    return {str(point.tap): point.obstacle for point in found.points()}


@pytest.mark.parametrize("tap", ["inner", "encoder", "out"])
def test_layers_around_nested_tensors_give_what_a_single_window_gives(
    tap: str, describe: Describe, plain: ParsableBatches, walks: Any, alone: Any
) -> None:
    path = describe("Attentive", "ntc", more='lengths = "lengths"')
    found = embedded(path, f"{tap}:mean", walks(LENGTHS))
    model, expected = plain(path, "Attentive"), []
    model.get_submodule(tap).register_forward_hook(lambda _, __, output: expected.append(output[0].mean(0).numpy()))
    with torch.inference_mode():
        for one in alone(walks(LENGTHS)):
            model(one[None], torch.tensor([len(one)]))
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_a_nested_tensor_is_listed_with_what_it_is_and_refused_as_a_tap(describe: Describe) -> None:
    path = describe("Attentive", "ntc", more='lengths = "lengths"')
    found = points(path)
    assert (found["encoder.layers.1#0"], found["encoder#0"]) == ("a nested tensor", None)
    with pytest.raises(Refused, match=r"the tap encoder\.layers\.0#0 is a nested tensor, which has no steps"):
        embedded(path, "encoder.layers.0:last", None)


def test_a_sparse_tensor_is_refused_and_its_neighbours_are_tapped(describe: Describe, walks: Any) -> None:
    path = describe("Sparse", "ntc")
    found = points(path)
    assert (found["thin#0"], found["out#0"], found["rnn#0[0]"]) == ("a sparse coo tensor", None, None)
    assert embedded(path, "out:last", walks(LENGTHS)).shape == (5, 3)
    with pytest.raises(Refused, match="the tap thin#0 is a sparse coo tensor"):
        pack(path, path.parent / "b", name="walk", taps={"hidden": "thin"}, code=["formnets"])


def test_layers_beside_torchscript_are_tapped_and_it_is_not(
    describe: Describe, plain: ParsableBatches, walks: Any, alone: Any
) -> None:
    path = describe("Scripted", "ntc")
    found = embedded(path, "out:last", walks(LENGTHS))
    with torch.inference_mode():
        expected = [plain(path, "Scripted")(one[None])[0, -1].numpy() for one in alone(walks(LENGTHS))]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)
    shown = CliRunner().invoke(main, ["taps", str(path), "--code", "formnets"], catch_exceptions=False).output
    assert "TorchScript, which takes no taps: script\n" in shown
    assert "never called" not in shown
    for tap in ("script", "script.0"):
        with pytest.raises(Refused, match=f"the tap {tap} of Scripted is TorchScript, which takes no hooks"):
            pack(path, path.parent / "b", name="walk", taps={"hidden": tap}, code=["formnets"])


@pytest.mark.parametrize(("tap", "find"), [("body[0]", lambda o: o["0"]), ("body[2][007]", lambda o: o[2]["007"])])
def test_outputs_named_by_digits_are_tapped_as_they_are_listed(
    tap: str, find: Callable[[Any], Any], describe: Describe, plain: ParsableBatches, walks: Any, alone: Any
) -> None:
    path = describe("Keyed", "ntc")
    assert tap.replace("body", "body#0") in points(path)
    found = embedded(path, f"{tap}:last", walks(LENGTHS))
    with torch.inference_mode():
        expected = [find(plain(path, "Keyed").body(one[None]))[0, -1].numpy() for one in alone(walks(LENGTHS))]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)
    manifest = read_manifest(path.parent / "a")
    assert str(manifest.features[0].feature.tap) == tap.replace("body", "body#0")


@pytest.mark.parametrize("name", ["Sparse", "Scripted"])
def test_native_code_is_looked_for_beside_them(name: str, describe: Describe) -> None:
    path = describe(name, "ntc")
    notes: list[str] = []
    taps = {"hidden": "out:last"}
    pack(path, path.parent / "a", name="walk", taps=taps, code=["formnets"], is_compiled=True, note=notes.append)
    assert "nothing is compiled: no part of this model takes and returns only tensors and is worth it" in notes
