"""Two convolutions whose padding is masked, and a bidirectional GRU behind them, as their owner writes them."""

import torch
from torch import nn


class Masked(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.first = nn.Conv1d(channels, hidden, 5, padding=2)
        self.second = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.rnn = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, x, lengths):
        inside = (torch.arange(x.shape[2])[None] < lengths[:, None])[:, None]
        maps = torch.relu(self.first(x)) * inside
        maps = torch.relu(self.second(maps)) * inside
        packed = nn.utils.rnn.pack_padded_sequence(maps.mT, lengths, batch_first=True, enforce_sorted=False)
        steps, last = self.rnn(packed)
        steps, _ = nn.utils.rnn.pad_packed_sequence(steps, batch_first=True, total_length=x.shape[2])
        return self.head(steps.sum(dim=1)), last
