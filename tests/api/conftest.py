"""A small model of somebody's own, packed; and frames of its windows."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

import undertow

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 5, batch_first=True)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])
"""
TOML = """
class = "{package}:Net"
weights = "net.pt"
[input]
columns = ["flow", "head"]
axes = "ntc"
max_length = 6
[series]
site = "string"
"""
PACKAGE = "net_of_the_api_tests"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The module, and the folder where its TOML is."""
    folder = tmp_path_factory.mktemp("api")
    (folder / f"{PACKAGE}.py").write_text(NET)
    (folder / "net.toml").write_text(TOML.format(package=PACKAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))  # for the process that loads what was packed
        torch.manual_seed(1)
        net = __import__(PACKAGE).Net().eval()
        torch.save(net.state_dict(), folder / "net.pt")
        yield net, folder
    del sys.modules[PACKAGE]


@pytest.fixture(scope="module")
def embedder(model):
    _, folder = model
    notes = []
    artifact = undertow.pack(
        folder / "net.toml",
        name="sites",
        taps={"hidden": "rnn#0[0]:last", "mean": undertow.Feature.parse("rnn#0[0]:mean")},
        output=folder / "artifact",
        code=[PACKAGE],
        note=notes.append,
    )
    with undertow.load(str(artifact), device="cpu", code=[PACKAGE]) as loaded:
        yield loaded


def frame(rows=5):
    rng = np.random.default_rng(3)
    cells = {name: [rng.normal(size=6) for _ in range(rows)] for name in ("flow", "head")}
    ends = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC")
    return pd.DataFrame({"site": [f"s{row}" for row in range(rows)], "end": ends, **cells}, index=range(10, 10 + rows))


def hidden(model, table):
    steps = np.stack([np.stack(table[name].tolist()) for name in ("flow", "head")], axis=2).astype(np.float32)
    with torch.inference_mode():
        return model[0].rnn(torch.from_numpy(steps))[0].numpy()
