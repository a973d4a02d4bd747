"""Lightning modules of the user's own, straight from the checkpoints that training has left."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.packing import pack
from tests.training import quiet_trainer
from undertow.artifact.load.loader import load
from undertow.core.errors import Refused

NETS = "statenets"
pytestmark = pytest.mark.filterwarnings("ignore")
TOML = """
class = "statenets:{name}"
weights = "model.ckpt"
{arguments}
[input]
columns = ["a", "b"]
min_length = 2
max_length = 9
[series]
wearer = "string"
"""


@pytest.fixture
def trained(nets: ModuleType, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Return a function that trains a module of that name for one step; gives it and the TOML of its checkpoint."""

    def train(name: str, arguments: str = "", **settings: Any) -> tuple[Any, Path]:
        torch.manual_seed(2)
        model = getattr(nets, name)(**settings)
        trainer = quiet_trainer(max_steps=1)
        trainer.fit(model, DataLoader(TensorDataset(torch.randn(4, 9, 2)), batch_size=4))
        trainer.save_checkpoint(tmp_path / "model.ckpt")
        path = tmp_path / "model.toml"
        path.write_text(TOML.format(name=name, arguments=arguments))
        return model.eval(), path

    return train


def embedded(path: Path, windows: Any, **options: Any) -> Any:
    pack(path, path.parent / "a", name="walk", taps={"hidden": "out:last"}, code=[NETS], **options)
    return load(path.parent / "a", code=[NETS]).embed(windows).embeddings.features["hidden"]


def expected(model: Any, windows: list[Any]) -> Any:
    with torch.inference_mode():
        return np.stack([model(one[None])[0, -1].numpy() for one in windows])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Trainable", {"size": 3, "slope": 0.9, "sizes": (2, 6)}),
        ("OfDict", {"settings": {"size": 5, "slope": 0.1}}),
    ],
)
def test_a_checkpoint_brings_weights_and_arguments(
    name: str, settings: dict[str, Any], trained: Any, walks: Any, alone: Any
) -> None:
    model, path = trained(name, **settings)
    windows = walks([9, 5, 2])
    np.testing.assert_allclose(embedded(path, windows), expected(model, alone(windows)), rtol=0, atol=1e-6)


def test_an_argument_that_is_no_plain_data_is_named_and_given_by_the_file_or_not_at_all(
    trained: Any, walks: Any, alone: Any
) -> None:
    model, path = trained("Trainable", size=3, head=nn.Sigmoid())
    with pytest.raises(Refused, match=r"found an object of torch\.nn\..*Sigmoid.*run its pickles once: --trust"):
        embedded(path, walks([9]))
    with pytest.raises(Refused, match=r"the hyperparameter head in .*model\.ckpt is a Sigmoid, which cannot be kept"):
        embedded(path, walks([9]), trust=True)
    path.write_text(path.read_text().replace("[input]", "[arguments]\nhead = 0\n[input]"))  # none: the tap is before it
    np.testing.assert_allclose(
        embedded(path, walks([9]), trust=True), expected(_headless(model), alone(walks([9]))), rtol=0, atol=1e-6
    )


def test_what_the_file_says_goes_before_the_checkpoint(trained: Any, walks: Any, alone: Any) -> None:
    model, path = trained("Trainable", "[arguments]\nslope = 0.25", size=3, slope=0.9)
    model.act.negative_slope = 0.25
    np.testing.assert_allclose(embedded(path, walks([9])), expected(model, alone(walks([9]))), rtol=0, atol=1e-6)


def test_such_a_checkpoint_without_a_toml_says_that_it_needs_one(trained: Any) -> None:
    _, path = trained("Trainable", size=3)
    with pytest.raises(Refused, match=r"any network is packed as a plain module.*in a TOML.*weights = \"model.ckpt"):
        pack(path.parent / "model.ckpt", path.parent / "a", name="walk", taps={"hidden": "out"}, trust=True)


def _headless(model: Any) -> Any:
    model.head = nn.Identity()
    return model
