"""An LSTM of your own, packed and embedded, without any server.

The network is a plain torch module: no base class, no hook, no line of Undertow in it. `pack` writes its weights as
safetensors and shows that a window's vector is the same alone, in batches and in the whole model; `load` gives it back
in any process that may import the class. Run it where it lies: PYTHONPATH=. python own_lstm.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import undertow


class OwnLSTM(nn.Module):
    """Forecasts the next step of two columns: (n, t, 2) -> (n, t, 2)."""

    def __init__(self) -> None:
        """Make it, untrained: training it is up to you."""
        super().__init__()
        self.rnn = nn.LSTM(2, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast."""
        return self.head(self.rnn(x)[0])


DESCRIPTION = """
class = "own_lstm:OwnLSTM"
weights = "own_lstm.pt"
input = {columns = ["flow", "level"], axes = "ntc", max_length = 24}
series = {site = "string"}
"""


def main() -> None:
    """Pack the model, and embed four windows of a DataFrame."""
    model = OwnLSTM()
    print("can be tapped:", [info.paths[0] for info in undertow.taps(model, torch.zeros(1, 24, 2))])
    torch.save(model.state_dict(), "own_lstm.pt")
    Path("own_lstm.toml").write_text(DESCRIPTION)
    artifact = undertow.pack("own_lstm.toml", name="pumps", taps={"hidden": "rnn#0[0]:last+mean"}, code=["own_lstm"])

    waves = np.sin(np.arange(24) / 3 + np.arange(4)[:, None])  # (4, 24)
    ends = pd.date_range("2026-01-01", periods=4, freq="h", tz="UTC")
    frame = pd.DataFrame({"site": [*"abcd"], "end": ends, "flow": [*waves], "level": [*-waves]})
    with undertow.load(artifact, code=["own_lstm"]) as embedder:
        result = embedder.embed(frame)
    print("vectors:", result["hidden"].shape, "refused:", len(result.faults), "space:", result.space[:8])


if __name__ == "__main__":
    main()
