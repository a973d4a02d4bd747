"""The example model of `undertow init`: the texts of its files, by name.

In: nothing. Out: texts. Knows no model: the texts are code for the user to run.
"""

FORECASTER = '''"""An LSTM that forecasts the next step of two columns: any torch.nn.Module will do."""

from torch import Tensor, nn


class Forecaster(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(2, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:  # (n, t, 2) -> (n, t, 2)
        return self.head(self.rnn(x)[0])
'''
TRAIN = '''"""Train it on waves, and write its weights and some windows: python train.py"""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from forecaster import Forecaster
from torch.nn.functional import mse_loss

torch.manual_seed(0)
steps = torch.arange(24.0)
phases = torch.rand(256, 1) * 6.28
waves = torch.stack([torch.sin(steps / 3 + phases), torch.cos(steps / 5 + phases)], dim=2)  # (n, t, c)
model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for _ in range(50):
    optimizer.zero_grad()
    mse_loss(model(waves[:, :-1]), waves[:, 1:]).backward()
    optimizer.step()
torch.save(model.state_dict(), "forecaster.pt")

sites = [f"site-{number % 8}" for number in range(len(waves))]
ends = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(len(waves))]
past = [{"flow": wave[:, 0].tolist(), "level": wave[:, 1].tolist()} for wave in waves]
pq.write_table(pa.table({"series": [{"site": site} for site in sites], "end": ends, "past": past}), "windows.parquet")
'''
DESCRIPTION = """# What `undertow pack` must know of a module that is no checkpoint of pytorch-forecasting.
class = "forecaster:Forecaster"
weights = "forecaster.pt"

[input]
columns = ["flow", "level"]
axes = "ntc"
max_length = 24

[series]
site = "string"
"""
FILES = {"forecaster.py": FORECASTER, "train.py": TRAIN, "forecaster.toml": DESCRIPTION}
SET = {"model.code": '["forecaster"]'}
NEXT = """python train.py
PYTHONPATH=. undertow pack forecaster.toml --name pumps --tap rnn#0[0]:last
undertow apply
PYTHONPATH=. undertow backfill windows.parquet
undertow get pumps site=site-0"""
