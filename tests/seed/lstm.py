"""An LSTM that forecasts the next step of windows of any length, padded behind their end."""

import torch
from torch import Tensor, nn


class LSTMForecaster(nn.Module):
    """Reads (n, t, c) and the (n,) lengths; returns (n, 1)."""

    def __init__(self, columns: int, hidden_size: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, hidden_size, layers, batch_first=True, dropout=0.2)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        steps, _ = self.lstm(x)
        # The last step of the tensor is padding in every window but the longest.
        last = steps[torch.arange(len(steps), device=steps.device), lengths - 1]
        return self.head(last)
