"""What the embedding benchmark compares: a model's own whole forward, and the embedding of the same tensors by us.

In: a number of windows. Out: `Case`s. Knows no clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.models.nn.rnn import LSTM
from torch import Tensor, nn

from undertow.artifact.dry_runs.sample import sample_windows
from undertow.artifact.faster.rewrite import rewrite
from undertow.artifact.faster.search import find_pruning
from undertow.artifact.faster.skipping import skip
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.packer import pack
from undertow.artifact.pack.read.trained import read_trained
from undertow.core.embedder import Embedder
from undertow.core.features import Tap
from undertow.core.forwards import cut, to_tensors
from undertow.core.inputs import build_inputs
from undertow.core.taps import Taps
from undertow.schemas.windows import WindowBatch

STEPS, HORIZON = 24, 6
UNKNOWN = ("c0", "c1", "c2", "c3", "c4")
KNOWN = ("c5", "c6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Ways to spend time on the same windows."""

    name: str
    windows: int
    plain: Callable[[], object]
    """The unmodified model, to its end."""
    stopped: Callable[[], object]
    """The unmodified model as far as the tap."""
    ours: Callable[[], object]
    compiled: Callable[[], object] | None = None
    """Ours, with what can be compiled run as native code."""
    inputs: Callable[[], object] | None = None
    """Builds the tensors from the windows."""
    off: float = 0.0
    """How far our vectors, compiled or not, are from those of a plain hook on the unmodified model."""


class LSTMForecaster(nn.Module):
    """Windows of any length, packed by pytorch-forecasting's own layer; forecasts from the last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = LSTM(9, 128, 2, batch_first=True)
        self.head = nn.Linear(128, HORIZON)

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        _, (hidden, _) = self.lstm(x[0], lengths=x[1], enforce_sorted=False)
        return self.head(hidden[-1])


class LSTMTagger(nn.Module):
    """Windows of one length; a head of two layers at every step, such as one trained to forecast from each."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(9, 128, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, STEPS))

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        return self.head(self.lstm(x[0])[0])


class ConvForecaster(nn.Module):
    """Three convolutions along time, 32, 64 and 128 channels, and a linear layer over what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(9, 32, 5)
        self.conv2 = nn.Conv1d(32, 64, 5)
        self.conv3 = nn.Conv1d(64, 128, 5)
        self.head = nn.Linear(128 * (STEPS - 12), HORIZON)

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor:
        maps = self.conv1(x[0].transpose(1, 2)).relu()
        return self.head(self.conv3(self.conv2(maps).relu()).relu().flatten(1))


def last_step(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return the last hidden state of each window."""
    return hidden[torch.arange(len(lengths)), lengths - 1]


def mean_of_maps(hidden: Tensor, _: Tensor) -> Tensor:
    """Return the mean over time of each channel."""
    return hidden.mean(2)


PLAIN: Mapping[str, tuple[type[nn.Module], str, Callable[[Tensor, Tensor], Tensor], int]] = {
    "LSTM 2x128, 12 to 24 steps": (LSTMForecaster, "lstm", last_step, STEPS // 2),
    "LSTM 2x128, head at each step": (LSTMTagger, "lstm", last_step, STEPS),
    "Conv1d, tap conv1": (ConvForecaster, "conv1", mean_of_maps, STEPS),
}


def plain_case(name: str, windows: int, device: torch.device) -> Case:
    """Return a plain module, tapped by the same parts that an artifact's embedder is made of."""
    cls, path, pool, shortest = PLAIN[name]
    torch.manual_seed(0)
    plain = cls().eval()
    faster = cls().eval()
    faster.load_state_dict(plain.state_dict())
    lengths = torch.from_numpy(np.random.default_rng(0).integers(shortest, STEPS, windows, endpoint=True)).sort()[0]
    x = (torch.randn(windows, int(lengths[-1]), 9).to(device), lengths.to(device))
    tap = Tap(path=path)
    stopped, ours = Taps(plain, [tap]), Taps(faster, [tap])

    def vectors(found: Mapping[Tap, Tensor], given: tuple[Tensor, Tensor]) -> list[Tensor]:
        return [pool(found[tap], given[1])]

    few = [(torch.randn(count, STEPS, 9), torch.tensor([STEPS] * (count - 1) + [shortest])) for count in (3, 4)]
    pruning = find_pruning(faster, [tap], few, vectors)  # on the CPU, as when packed
    skip(faster, pruning.skipped)
    for model in (plain, faster):
        model.to(device)
    few = [(values.to(device), lengths.to(device)) for values, lengths in few]
    rewrite(faster, [path], lambda: [ours.run(one) for one in few], stateless=pruning.stateless)

    def embed(taps: Taps) -> NDArray[np.float32]:
        with torch.inference_mode():
            return vectors(taps.run(x), x)[0].cpu().numpy()

    return Case(
        name=name,
        windows=windows,
        plain=lambda: finished(inference(plain, x)),
        stopped=lambda: finished(stopped.run(x)),
        ours=lambda: embed(ours),
        off=float(np.abs(embed(stopped) - embed(ours)).max()),
    )


def inference(model: nn.Module, x: Any) -> object:
    """Run the model to its end, in the fastest mode that it has by itself."""
    with torch.inference_mode():
        return model(x)


def finished(result: object) -> object:
    """Return it when the device has done all that it was asked to."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return result


def make_transformer(folder: Path, *, is_compiled: bool) -> Path:
    """Train for three batches and pack, with native code too if so: hidden size 64, 9 reals, 2 categories, 24 + 6."""
    torch.manual_seed(0)
    series, steps = 16, 4 * STEPS
    walks = np.random.default_rng(0).normal(size=(series * steps, 7)).cumsum(axis=0) * 0.05
    table = pd.DataFrame(walks, columns=[*UNKNOWN, *KNOWN])
    table["series"] = np.repeat([f"t{n}" for n in range(series)], steps)
    table["step"] = np.tile(np.arange(steps), series)
    table["place"] = np.where(np.arange(len(table)) // steps % 2 == 0, "a", "b")
    table["mode"] = np.where(walks[:, 1] > 0, "x", "y").astype(object)
    dataset = TimeSeriesDataSet(
        table,
        time_idx="step",
        target=UNKNOWN[0],
        group_ids=["series"],
        min_encoder_length=STEPS,
        max_encoder_length=STEPS,
        max_prediction_length=HORIZON,
        time_varying_unknown_reals=list(UNKNOWN),
        time_varying_known_reals=list(KNOWN),
        static_categoricals=["place"],
        time_varying_unknown_categoricals=["mode"],
        add_relative_time_idx=True,
        add_encoder_length=True,
    )
    model = TemporalFusionTransformer.from_dataset(dataset, hidden_size=64, attention_head_size=4)
    trainer = lightning.Trainer(
        max_steps=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, dataset.to_dataloader(train=True, batch_size=64, num_workers=0))
    path = folder / "model.ckpt"
    trainer.save_checkpoint(path)
    for name in ("artifact", "compiled") if is_compiled else ("artifact",):
        taps, native = {"hidden": "lstm_encoder:last"}, name == "compiled"
        pack(path, folder / name, name="walk", taps=taps, trust=True, is_compiled=native, note=print)
    return path


def transformer_case(folder: Path, windows: int, threads: int, device: torch.device) -> Case:
    """Return the transformer in `folder`, as it was trained and as its artifact is loaded.

    For a GPU all ways begin with inputs on the host, and ours ends with vectors there. Native code is for the CPU.
    """
    plain = read_trained(folder / "model.ckpt", trust=True).model.to(device).eval()
    embedder = load(folder / "artifact", device=str(device), threads=threads)
    on_cpu = device.type == "cpu"
    native = load(folder / "compiled", device="cpu", threads=threads, run_compiled=True) if on_cpu else None
    manifest = read_manifest(folder / "artifact")
    batch: WindowBatch = sample_windows(manifest.contract, manifest.preprocessing, np.full(windows, STEPS))
    x = build_inputs(batch, manifest.preprocessing).x

    def given() -> Any:
        return to_tensors(x, device)

    tap = Tap(path="lstm_encoder")
    stopped = Taps(plain, [tap])

    def embed(embedder: Embedder) -> NDArray[np.float32]:
        """Do what `Embedder.embed` does with inputs that are built."""
        chunks: Sequence[NDArray[np.int64]] = list(cut(x["encoder_lengths"], embedder._room.steps))
        return np.concatenate([embedder._forward(x, rows, 1)["hidden"] for rows in chunks])

    expected = stopped.run(given())[tap][:, -1].cpu().numpy()
    return Case(
        name="TFT64, tap lstm_encoder",
        windows=windows,
        plain=lambda: finished(inference(plain, given())),
        stopped=lambda: finished(stopped.run(given())),
        ours=lambda: embed(embedder),
        compiled=None if native is None else lambda: embed(native),
        inputs=lambda: build_inputs(batch, manifest.preprocessing),
        off=max(float(np.abs(expected - embed(one)).max()) for one in (embedder, native) if one is not None),
    )
