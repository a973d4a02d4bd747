"""Plain modules whose tensors take odd forms, as their owners write them."""

import torch
from torch import nn


class Attentive(nn.Module):  # inside of the encoder, inference turns padded batches into nested tensors
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 16)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)
        self.out = nn.Linear(16, 3)

    def forward(self, x, lengths):
        behind = torch.arange(x.shape[1])[None] >= lengths[:, None]
        return self.out(self.encoder(self.inner(x), src_key_padding_mask=behind))


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.thin, self.out = nn.GRU(2, 5, batch_first=True), nn.Identity(), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.thin(self.rnn(x)[0].to_sparse()).to_dense())


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 5, batch_first=True)
        self.script, self.out = torch.jit.script(nn.Sequential(nn.Linear(5, 4), nn.ReLU())), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.script(self.rnn(x)[0]))


class Levels(nn.Module):  # named by digits, as the levels of a pyramid are
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(4, 3)

    def forward(self, x):
        low = self.first(x)
        return {"0": low, "1": self.second(low), 2: {"007": low + 1}}


class Keyed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Levels()

    def forward(self, x):
        return self.body(x)["1"]
