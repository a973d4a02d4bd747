"""A small artifact, whose rows are those of the logs that tests write by hand."""

import sys
from pathlib import Path

import pytest
import torch

from tests.packing import pack

TOML = """
class = "seed.mlp:MLPForecaster"
weights = "mlp.pt"
[arguments]
columns = 1
length = 4
hidden_size = 2
[input]
columns = ["flow"]
axes = "nf"
max_length = 4
[series]
site = "string"
lap = "integer"
"""


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    """An artifact `pump` with the ids site and lap, and the features hidden (2) and gate (1)."""
    folder = tmp_path_factory.mktemp("artifact")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        from seed.mlp import MLPForecaster  # noqa: PLC0415 it needs the path

        torch.manual_seed(1)
        torch.save(MLPForecaster(columns=1, length=4, hidden_size=2).state_dict(), folder / "mlp.pt")
        (folder / "mlp.toml").write_text(TOML)
        taps = {"hidden": "hidden.3", "gate": "head"}
        pack(folder / "mlp.toml", folder / "packed", name="pump", taps=taps, code=["seed"])
        for name in [name for name in sys.modules if name.split(".")[0] == "seed"]:
            del sys.modules[name]
    return folder / "packed"
