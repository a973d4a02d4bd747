"""Train the three plain modules for a moment, and lay into a folder what `undertow pack` takes.

PYTHONPATH=tests python -m seed.train .undertow/seed
"""

import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE = Path(__file__).parent
LENGTH = 24
FORWARD: Mapping[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "lstm": lambda model, x: model(x, torch.full((len(x),), x.shape[1])),
    "conv": lambda model, x: model(x.transpose(1, 2)),
    "mlp": lambda model, x: model(x.flatten(1)),
}
"""How a training loop calls each with (n, t, c)."""


def make_weather(steps: int, seed: int) -> NDArray[np.float64]:
    """Return (steps, 3): temperature, wind and load by the hour, on the scales that the TOMLs name."""
    rng = np.random.default_rng(seed)
    day = np.sin(np.arange(steps) * 2 * np.pi / 24)
    temperature = 12 + 8 * day + rng.normal(size=steps)
    wind = np.exp(rng.normal(0.2, 0.4, size=steps))
    return np.stack([temperature, wind, 300 + 60 * np.abs(day) + 5 * wind], axis=1)


def scale(values: NDArray[np.float64]) -> Tensor:
    """Scale as a script would that knows no TOML: the numbers stand in both."""
    scaled = [(values[..., 0] - 12.0) / 8.0, (np.log1p(values[..., 1]) - 0.9) / 0.5, (values[..., 2] - 300.0) / 60.0]
    return torch.from_numpy(np.stack(scaled, axis=-1).astype(np.float32))


def train(name: str, folder: Path, rounds: int = 20) -> nn.Module:
    """Train the module `name`, write NAME.pt and NAME.toml to the folder; return it as it is then: in train mode."""
    description: dict[str, Any] = tomllib.loads((HERE / f"{name}.toml").read_text())
    module, _, cls = description["class"].partition(":")
    torch.manual_seed(0)
    model: nn.Module = getattr(import_module(module), cls)(**description["arguments"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    series = scale(make_weather(400, seed=1))
    windows = series.unfold(0, LENGTH + 1, 1).transpose(1, 2)  # (n, t + 1, c)
    for _ in range(rounds):
        optimizer.zero_grad()
        forecast = FORWARD[name](model, windows[:, :-1])
        loss = nn.functional.mse_loss(forecast, windows[:, -1, 2:])
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), folder / f"{name}.pt")
    shutil.copyfile(HERE / f"{name}.toml", folder / f"{name}.toml")
    return model


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in FORWARD:
        train(name, folder)
        print("wrote", folder / f"{name}.toml")


if __name__ == "__main__":
    main()
