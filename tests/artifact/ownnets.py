"""Plain modules as their owners write them; nothing here knows of taps."""

import torch
from torch import nn
from torch.nn import functional


class Recurrent(nn.Module):  # batch_first=False, and a keyword for its input
    def __init__(self, cell="GRU", bidirectional=False):
        super().__init__()
        self.rnn = getattr(nn, cell)(2, 5, bidirectional=bidirectional)

    def forward(self, _state=None, *, series):
        return self.rnn(series)[0][-1]


class Convolutions(nn.Module):
    def __init__(self, padding=0):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 4, 3, padding=padding), nn.Conv1d(4, 3, 3, padding=padding)
        self.normed, self.out = nn.BatchNorm1d(3), nn.Identity()

    def forward(self, x):
        return self.out(self.normed(functional.relu(self.second(functional.relu(self.first(x), inplace=True)))))


class Placed(nn.Module):  # takes one length only, from its first line on
    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(2, 9))
        self.same, self.shorter = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 5, 3)
        self.out, self.last = nn.ReLU(), nn.Sigmoid()

    def forward(self, x):
        return self.last(self.shorter(self.out(self.same(x + self.places))))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes, self.rnn = nn.Embedding(3, 4), nn.GRU(4, 5, batch_first=True)

    def forward(self, x):
        return self.rnn(self.codes(x[:, :, 0]))[0]


class Loop(nn.Module):
    def __init__(self, times=3):
        super().__init__()
        self.cell, self.times = nn.Linear(2, 2), times

    def forward(self, x):
        for _ in range(self.times):
            x = self.cell(x)
        return x


class Careless(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what, self.out, self.constant = what, nn.Linear(2, 2), torch.rand(1)

    def forward(self, x):
        if self.what == "dropout":
            x = functional.dropout(x)
        if self.what == "constant":
            x = x + self.constant
        if self.what == "batch":
            x = x - x.mean(0)
        if self.what == "in place":
            x -= 1.0
            if len(x) > 1:
                raise ValueError("one at a time")
        return self.out(x)


def make(cell) -> nn.Module:
    return Recurrent(cell)


class Packed(nn.Module):
    def __init__(self, is_sorted=False):
        super().__init__()
        self.rnn, self.is_sorted = nn.LSTM(2, 5, batch_first=True, bidirectional=True), is_sorted

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=self.is_sorted)
        return self.rnn(packed)[1][0]


class Lazy(nn.Module):  # its layers learn their sizes from the first window that they see
    def __init__(self):
        super().__init__()
        self.first, self.normed, self.out = nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.LazyLinear(3)

    def forward(self, x):
        return self.out(functional.relu(self.normed(self.first(x))).transpose(1, 2))


FACTOR = 1.0


class Scaled(nn.Module):  # and what scales it is no part of it
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(2, 3)

    def forward(self, x):
        return self.out(x * FACTOR)
