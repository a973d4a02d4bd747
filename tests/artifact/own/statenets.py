"""Plain modules and Lightning modules as their owners write them, whose weights come in many dresses."""

import lightning
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.inner, self.out = nn.Linear(2, 4), nn.Linear(4, size)

    def forward(self, x):
        return self.out(torch.tanh(self.inner(x)))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.waves, self.codes, self.out = nn.Linear(2, 4, dtype=torch.complex64), Codes(), nn.Linear(4, 3)

    def forward(self, x):
        waves = self.waves(x.to(torch.complex64)).abs()
        return self.out(waves) + self.codes(waves)[..., None]


class Codes(nn.Module):
    def forward(self, x):
        return x.argmax(-1)


class Keeping(nn.Module):  # an LSTM that goes on where the window before has ended
    def __init__(self):
        super().__init__()
        self.rnn, self.out, self.state = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3), None

    def forward(self, x):
        state = None if self.state is None else tuple(one[:, -1:].expand(-1, len(x), -1) for one in self.state)
        steps, self.state = self.rnn(x, None if state is None else tuple(one.contiguous() for one in state))
        return self.out(steps)


class Trainable(lightning.LightningModule):
    def __init__(self, size, slope=0.5, sizes=(2, 4), head=None):
        super().__init__()
        self.save_hyperparameters()
        self.inner, self.act, self.head = nn.Linear(*sizes), nn.LeakyReLU(slope), head or nn.Identity()
        self.out = nn.Linear(sizes[1], size)

    def forward(self, x):
        return self.head(self.out(self.act(self.inner(x))))

    def training_step(self, batch, _):
        return self(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class OfDict(lightning.LightningModule):
    def __init__(self, settings):
        super().__init__()
        self.save_hyperparameters(settings)
        self.inner, self.out = nn.Linear(2, 4), nn.Linear(4, settings["size"])
        self.slope = settings["slope"]

    def forward(self, x):
        return self.out(nn.functional.leaky_relu(self.inner(x), self.slope))

    training_step, configure_optimizers = Trainable.training_step, Trainable.configure_optimizers
