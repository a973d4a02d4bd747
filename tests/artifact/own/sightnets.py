"""Plain modules whose layers see more or less of a window than one thinks."""

import torch
from torch import nn
from torch.nn import functional


class Both(nn.Module):  # two directions, over whole windows of one length or over padded ones
    def __init__(self, layers=2):
        super().__init__()
        self.rnn = nn.GRU(2, 4, batch_first=True, bidirectional=True)
        self.deep = nn.GRU(2, 4, num_layers=layers, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.rnn(packed)[0], self.deep(packed)[0]


class Stretched(nn.Module):  # (n, c, t): shorter, longer by padding, longer and shifted, causal
    def __init__(self):
        super().__init__()
        self.short, self.long = nn.Conv1d(2, 3, 5), nn.Conv1d(2, 3, 5, padding=4)
        self.far, self.causal = nn.Conv1d(2, 3, 1, padding=2), nn.Conv1d(2, 3, 3, dilation=2)

    def forward(self, x):
        return self.short(x), self.long(x), self.far(x), self.causal(functional.pad(x, (4, 0)))


class Blind(nn.Module):  # layers that see nothing, or not all
    def __init__(self, limit=1e9):
        super().__init__()
        self.limit = limit
        names = ("constant", "first", "lagged", "column", "rectified", "saturated", "normed", "faint", "plain")
        for name in names:
            setattr(self, name, nn.Identity())
        self.norm = nn.LayerNorm(2)

    def forward(self, x):
        self.constant(torch.ones(len(x), x.shape[1], 3))
        self.first(x[:, :1] + torch.zeros_like(x))
        self.lagged(functional.pad(x, (0, 0, 1, 0))[:, :-1].cumsum(1))
        self.column(x[:, :, :1].cumsum(1))
        self.rectified(functional.relu(x - 10.0).cumsum(1) + functional.relu(-x - 10.0).cumsum(1))
        self.saturated(torch.sigmoid(100.0 * (x - 20.0)).cumsum(1))
        self.normed(self.norm(x).cumsum(1))
        self.faint((x * 1e-3).cumsum(1) + 1.0)
        if x.abs().amax() > self.limit:
            raise ValueError("too loud")
        return self.plain(x.cumsum(1))
