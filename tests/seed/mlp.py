"""A multilayer perceptron over a whole window, for windows of one length."""

from torch import Tensor, nn


class MLPForecaster(nn.Module):
    """Reads (n, steps times columns); returns (n, 1)."""

    def __init__(self, columns: int, length: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(columns * length, hidden_size),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))
