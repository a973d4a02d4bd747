"""Modules whose forward takes other ways with some windows or batches, or keeps things on itself."""

import torch
from torch import nn


class Gated(nn.Module):  # loud windows take the other branch
    def __init__(self):
        super().__init__()
        self.calm, self.loud = nn.GRU(2, 4, batch_first=True), nn.GRU(2, 4, batch_first=True)

    def forward(self, x):
        way = self.loud if x.abs().amax() > 50 else self.calm
        return way(x)[0]


class Experts(nn.Module):  # each expert takes the steps of its own sign, and is not called without any
    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Linear(2, 3), nn.Linear(2, 3)

    def forward(self, x):
        is_high = x[..., 0] > 0
        out = x.new_zeros(*x.shape[:2], 3)
        for expert, chosen in ((self.low, ~is_high), (self.high, is_high)):
            if chosen.any():
                out[chosen] = expert(x)[chosen]
        return out


class Dropping(nn.Module):  # leaves out the steps that are zero in all windows
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x[:, (x != 0).any(2).any(0)])[0]


class Chunked(nn.Module):  # whoever looks at its cell sees 32 windows at most
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 4, batch_first=True)

    def forward(self, x):
        return torch.cat([self.gru(chunk)[0] for chunk in x.split(32)])


class RevIN(nn.Module):
    def forward(self, x, mode):
        if mode == "norm":
            self.mean = x.mean(1, keepdim=True)
            self.spread = x.std(1, keepdim=True) + 1e-5
            return (x - self.mean) / self.spread
        return x * self.spread + self.mean


class Reversible(nn.Module):
    def __init__(self):
        super().__init__()
        self.revin, self.gru, self.out = RevIN(), nn.GRU(2, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.revin(self.out(self.gru(self.revin(x, "norm"))[0]), "denorm")


class Named(nn.Module):  # a layer for each column, by its name; and a cell that is called three times
    def __init__(self):
        super().__init__()
        names = ("CO2[ppm]", "lag:7", "rain#1", "rain", "wind, gusts", 'a "b"', "$HOME`ls`", "it's", "x\ny", "*")
        self.by = nn.ModuleDict({name: nn.Linear(2, 3) for name in names})
        self.cell, self.keyed = nn.Linear(3, 3), Keyed()

    def forward(self, x):
        state = sum(layer(x) for layer in self.by.values())
        for _ in range(3):
            state = torch.tanh(self.cell(state))
        return self.keyed(state)


class Keyed(nn.Module):
    def forward(self, state):
        return {"a]b": state, "0": state + 1, "": state + 2}


class Stepwise(nn.Module):  # one call of its cell for each step
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(2, 4)

    def forward(self, x):
        state = x.new_zeros(len(x), 4)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state


HELD = {}


class Secretive(nn.Module):  # keeps it where nobody sees it be written
    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(2, 4, batch_first=True), nn.Identity()

    def forward(self, x):
        HELD["mean"] = x.mean(1, keepdim=True)
        states = self.gru(x)[0]
        return self.out(states * HELD["mean"].sum(2, keepdim=True))


class Counting(nn.Module):  # mixes what it knows of earlier windows into later ones, once a batch is large
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(2, 3)

    def forward(self, x):
        return self.out(x - x.mean() if len(x) > 40 else x)
