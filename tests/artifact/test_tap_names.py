"""Modules and elements of any name: what `undertow taps` prints can be pasted, and is packed."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.core.features import Feature
from undertow.core.taps import Taps, find_module, paths_of
from undertow.schemas.windows import WindowBatch

TOML = """
class = "oddnets:{name}"
weights = "model.pt"
[input]
columns = ["a", "b"]
min_length = {least}
max_length = 6
[series]
site = "string"
"""


@pytest.fixture(scope="module")
def nets() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import oddnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield oddnets
    del sys.modules["oddnets"]


def describe(nets: Any, folder: Path, name: str, least: int = 6) -> Any:
    """Write weights and a TOML; return the module."""
    torch.manual_seed(3)
    model = getattr(nets, name)().eval()
    torch.save(model.state_dict(), folder / "model.pt")
    (folder / "model.toml").write_text(TOML.format(name=name, least=least))
    return model


def taps(folder: Path, *arguments: str) -> str:
    command = ["taps", str(folder / "model.toml"), "--code", "oddnets", *arguments]
    done = CliRunner().invoke(main, command, env={"COLUMNS": "400"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_tap_that_is_printed_reads_back_to_its_module(nets: Any, tmp_path: Path) -> None:
    model = describe(nets, tmp_path, "Named")
    paths = paths_of(model)
    said = json.loads(taps(tmp_path, "--json"))
    printed = {tap["tap"]: layer["paths"][0] for layer in said["layers"] for tap in layer["taps"]}
    assert len(printed) == len(nets.Named().by) + 3 + 3, "the layers, three calls of the cell, three elements"
    for text, path in printed.items():
        read = Feature.parse(text, paths)
        assert (read.tap.path, str(read.tap)) == (path, text)
        assert find_module(model, read.tap.path)
    rows = [line.split("│")[1].strip() for line in taps(tmp_path, "--all").splitlines() if line.startswith("│")]
    pasted = [Feature.parse(shlex.split(row)[0], paths).tap for row in rows]
    assert {tap.path for tap in pasted} == set(printed.values())
    with Taps(model, pasted) as running:
        assert set(running.run(torch.zeros(2, 6, 2))) == set(pasted)


@pytest.mark.parametrize("name", ["CO2[ppm]", "lag:7", "rain#1", "wind, gusts"])
def test_a_layer_with_signs_in_its_name_is_packed_with_and_without_quotes(name: str, nets: Any, tmp_path: Path) -> None:
    model = describe(nets, tmp_path, "Named")
    features = {"bare": f"by.{name}:mean", "quoted": f'"by.{name}":mean'}
    if name == "rain#1":  # which is, without quotes, the second call of rain
        del features["bare"]
    pack(tmp_path / "model.toml", tmp_path / "a", name="odd", taps=features, code=["oddnets"])
    windows = batch(3)
    found = load(tmp_path / "a", code=["oddnets"]).embed(windows).embeddings.features
    x = torch.from_numpy(np.stack([windows.past["a"], windows.past["b"]], 1).reshape(3, 6, 2).astype(np.float32))
    with torch.inference_mode():
        expected = model.by[name](x).mean(1).numpy()
    assert found.keys() == features.keys()
    for vectors in found.values():
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)


def batch(count: int) -> WindowBatch:
    rng = np.random.default_rng(1)
    return WindowBatch(
        series={"site": np.array([f"s{row}" for row in range(count)], object)},
        end_us=np.arange(count),
        lengths=np.full(count, 6),
        past={"a": rng.normal(size=count * 6), "b": rng.normal(size=count * 6)},
        future={},
        static={},
    )


def test_the_last_call_is_counted_from_the_end_and_packed_by_its_number(nets: Any, tmp_path: Path) -> None:
    describe(nets, tmp_path, "Named")
    taps = {"last": "cell#-1:mean", "third": "cell#2:mean", "first": "cell#-3:mean"}
    manifest = pack(tmp_path / "model.toml", tmp_path / "a", name="odd", taps=taps, code=["oddnets"])
    assert [one.feature.tap.call for one in manifest.features] == [2, 2, 0]
    found = load(tmp_path / "a", code=["oddnets"]).embed(batch(3)).embeddings.features
    np.testing.assert_array_equal(found["last"], found["third"])
    assert not np.array_equal(found["first"], found["third"])


def test_a_call_before_the_first_one_is_refused(nets: Any, tmp_path: Path) -> None:
    describe(nets, tmp_path, "Named")
    with pytest.raises(Refused, match="asks for call -4, but one forward calls cell 3 times"):
        pack(tmp_path / "model.toml", tmp_path / "a", name="odd", taps={"h": "cell#-4:mean"}, code=["oddnets"])


def test_the_last_step_of_a_cell_is_that_of_windows_of_one_length_only(nets: Any, tmp_path: Path) -> None:
    describe(nets, tmp_path, "Stepwise")
    given = {"name": "odd", "taps": {"h": "cell#-1"}, "code": ["oddnets"]}
    manifest = pack(tmp_path / "model.toml", tmp_path / "a", **given)
    assert manifest.features[0].feature.tap.call == 5
    describe(nets, tmp_path, "Stepwise", least=2)
    with pytest.raises(Refused, match="counts calls from the end, and one forward calls cell 2 to 6 times"):
        pack(tmp_path / "model.toml", tmp_path / "b", **given)


def test_in_plain_python_too_a_call_may_be_counted_from_the_end(nets: Any) -> None:
    model, x = nets.Named().eval(), torch.randn(2, 6, 2)
    last, third, second, early = (Feature.parse(f"cell#{call}").tap for call in (-1, 2, -2, 0))
    with Taps(model, [last, third, second, early]) as running:
        found = running.run(x)
    assert torch.equal(found[last], found[third])
    assert not torch.equal(found[second], found[third])
    beyond = Feature.parse("cell#-4").tap
    with Taps(model, [beyond]) as running, pytest.raises(Refused, match="asks for call -4"):
        running.run(x)
