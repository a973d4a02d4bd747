"""Models derived from pytorch-forecasting's: certified against their own forward, and never taken for their parent."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pytorch_forecasting import TemporalFusionTransformer

from tests.packing import pack
from undertow.artifact.format.allowed_code import require_allowed_code
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused

NETS = "forecastnets"
TAPS = {"hidden": "lstm_encoder:last"}
pytestmark = pytest.mark.filterwarnings("ignore")
SIZES = {"hidden_size": 8, "attention_head_size": 2, "hidden_continuous_size": 4}


@pytest.fixture
def saved(nets: ModuleType, datasets: Any, untrained: Any) -> Callable[..., Any]:
    """Return a function that saves a model of a class, its data set and its checkpoint."""

    def save(name: str, **settings: Any) -> Any:
        dataset = datasets(target="ax", time_varying_unknown_reals=["ax", "ay"])
        cls = getattr(nets, name, TemporalFusionTransformer)
        return untrained(cls.from_dataset(dataset, **SIZES, **settings), dataset)

    return save


@pytest.mark.parametrize(("name", "settings"), [("Doubled", {}), ("Gained", {"gain": 3.0})])
def test_a_derived_model_embeds_as_its_own_forward_does(
    name: str, settings: dict[str, Any], saved: Any, reference: Any, tmp_path: Path
) -> None:
    source = saved(name, **settings)
    cls = f"{NETS}:{name}"
    manifest = pack(source.checkpoint, tmp_path / "a", name="walk", taps=TAPS, trust=True, model_class=cls, code=[NETS])
    expected = reference(source, "lstm_encoder")
    found = load(tmp_path / "a", code=[NETS]).embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.last, rtol=0, atol=1e-6)
    assert (manifest.model.cls, read_manifest(tmp_path / "a").model) == (cls, manifest.model)
    with pytest.raises(Refused, match=rf"the model is {cls}, and importing {NETS} runs its code"):
        load(tmp_path / "a")
    with pytest.raises(Refused, match="found other"):  # as a fleet looks before anything is imported
        require_allowed_code(manifest.model, ["other"])


def test_a_class_is_not_guessed_where_a_derived_one_is_known(saved: Any, tmp_path: Path) -> None:
    source = saved("Doubled")
    with pytest.raises(Refused, match=rf"{NETS}:Doubled, {NETS}:Gained is derived from the TemporalFusionTransformer"):
        pack(source.checkpoint, tmp_path / "a", name="walk", taps=TAPS, trust=True)
    stock = "pytorch_forecasting.TemporalFusionTransformer"
    notes: list[str] = []
    plain = saved("TemporalFusionTransformer")
    pack(
        plain.checkpoint,
        tmp_path / "a",
        name="walk",
        taps=TAPS,
        trust=True,
        model_class=stock,
        note=notes.append,
    )
    assert notes == []


@pytest.mark.parametrize(
    ("cls", "code", "message"),
    [
        ("forecastnets:Doubled", [], "importing forecastnets runs its code.*or --code forecastnets when packing"),
        ("forecastnets:Alien", ["forecastnets"], "to be a class of nn.Module"),
        ("torch.nn:Linear", ["torch"], "derived from a model of pytorch-forecasting, found another; a plain module"),
        ("forecastnets.Doubled", ["forecastnets"], "a class of your own that is derived from one, as package.module:N"),
        ("forecastnets:Gained", ["forecastnets"], "does not hold a Gained: TypeError.*gain"),
    ],
)
def test_a_class_that_cannot_be_is_refused(cls: str, code: list[str], message: str, saved: Any, tmp_path: Path) -> None:
    source = saved("Doubled")
    with pytest.raises(Refused, match=message):
        pack(source.checkpoint, tmp_path / "a", name="walk", taps=TAPS, trust=True, model_class=cls, code=code)


def test_the_command_says_which_class_it_has_guessed(trained: Any) -> None:
    done = CliRunner().invoke(main, ["taps", str(trained("gru").checkpoint), "--trust"], catch_exceptions=False)
    assert "it is taken for pytorch_forecasting.RecurrentNetwork itself; if you trained a class derived" in done.stderr
