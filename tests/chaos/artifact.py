"""The model of a chaos run, packed: a multilayer perceptron that some numbers kill, and what it is given.

In: a folder. Out: an artifact. Knows no fleet.
"""

import sys
from pathlib import Path

import torch

from tests.chaos.windows import COLUMNS, LENGTH
from tests.packing import pack

TESTS = Path(__file__).parents[1]
TOML = f"""
class = "seed.deadly:DeadlyForecaster"
weights = "mlp.pt"
[arguments]
columns = {len(COLUMNS)}
length = {LENGTH}
hidden_size = 8
[input]
columns = {list(COLUMNS)}
axes = "nf"
max_length = {LENGTH}
[series]
site = "string"
"""
TAPS = {"embedding": "hidden", "window": "entry"}
"""The second feature is what the model was given, to the bit."""


def make_artifact(folder: Path) -> Path:
    """Pack a multilayer perceptron with random weights: the same numbers at every call."""
    sys.path.insert(0, str(TESTS))
    from seed.deadly import state  # noqa: PLC0415 it needs the path

    folder.mkdir()
    torch.save(state(len(COLUMNS), LENGTH, 8), folder / "mlp.pt")
    (folder / "mlp.toml").write_text(TOML.replace("'", '"'))
    pack(folder / "mlp.toml", folder / "artifact", name="sites", taps=TAPS, code=["seed"])
    return folder / "artifact"
