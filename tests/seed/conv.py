"""Two convolutions along time and a linear layer, for windows of one length."""

from torch import Tensor, nn


class ConvForecaster(nn.Module):
    """Reads (n, c, t); returns (n, 1)."""

    def __init__(self, columns: int, channels: int, length: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(columns, channels, kernel_size=5)
        self.conv2 = nn.Conv1d(channels, 2 * channels, kernel_size=3)
        self.relu = nn.ReLU(inplace=True)
        # Each convolution takes kernel_size - 1 steps away, and flattening joins channels and the steps that are left.
        self.fc = nn.Linear(2 * channels * (length - 4 - 2), 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.fc(maps.flatten(1))
