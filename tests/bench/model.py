"""The model of the benchmark, and the embedding of it that a user would write by hand.

In: a folder. Out: a Lightning checkpoint; from it model, inputs and embeddings by pytorch-forecasting's own means.
Knows neither Kafka, Feast nor the product: what is made here is also the reference for what the product makes.
"""

import logging
import warnings
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import torch
from data import COLUMNS, HORIZON, STEPS, TARGET
from numpy.typing import NDArray
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet

TAP = "lstm_encoder"
HIDDEN = 64
BATCH = 256

# Advice for training runs, printed by Lightning and pytorch-forecasting each time that a loader is made.
warnings.filterwarnings("ignore", module="lightning|pytorch_forecasting")


def make_checkpoint(folder: Path, *, hidden: int = HIDDEN) -> Path:
    """Train for three batches and return the checkpoint: speed does not depend on how well it forecasts."""
    torch.manual_seed(0)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    series, steps = 16, 4 * STEPS
    walks = np.random.default_rng(0).normal(size=(series, len(COLUMNS), steps)).cumsum(axis=2)
    table = pd.DataFrame({"series": np.repeat([f"t{n}" for n in range(series)], steps)})
    table["step"] = np.tile(np.arange(steps), series)
    for position, column in enumerate(COLUMNS):
        table[column] = walks[:, position].ravel()
    dataset = TimeSeriesDataSet(
        table,
        time_idx="step",
        target=TARGET,
        group_ids=["series"],
        min_encoder_length=STEPS,
        max_encoder_length=STEPS,
        max_prediction_length=HORIZON,
        time_varying_unknown_reals=list(COLUMNS),
    )
    model = TemporalFusionTransformer.from_dataset(dataset, hidden_size=hidden, learning_rate=1e-3)
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
    return path


def load(folder: Path) -> TemporalFusionTransformer:
    """Load the checkpoint as pytorch-forecasting does, for one thread."""
    torch.set_num_threads(1)
    model = TemporalFusionTransformer.load_from_checkpoint(folder / "model.ckpt", map_location="cpu")
    return model.eval()


def table_of(windows: list[dict]) -> pd.DataFrame:
    """Lay windows of different series out as the one table that a `TimeSeriesDataSet` wants.

    It asks for the decoder's steps too, though nobody knows their values yet and the tap does not see them: the last
    known value stands in. Windows must come sorted by series, for so the data set returns them.
    """
    steps = STEPS + HORIZON
    table = pd.DataFrame({"series": np.repeat([window["series"]["series"] for window in windows], steps)})
    table["step"] = np.tile(np.arange(steps), len(windows))
    for column in COLUMNS:
        known = np.array([window["past"][column] for window in windows])  # (n, STEPS)
        table[column] = np.concatenate([known, np.repeat(known[:, -1:], HORIZON, axis=1)], axis=1).ravel()
    return table


def inputs_of(model: TemporalFusionTransformer, windows: list[dict]) -> dict[str, torch.Tensor]:
    """Build the model's inputs by `TimeSeriesDataSet` and its loader, in one batch."""
    dataset = TimeSeriesDataSet.from_parameters(
        model.dataset_parameters, table_of(windows), predict=True, stop_randomization=True
    )
    x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=len(windows), num_workers=0)))
    return x


def embed(model: TemporalFusionTransformer, x: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    """Run the whole forward with a hook on the tap and return the last hidden state of its last layer, (n, HIDDEN)."""
    caught: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: tuple) -> None:
        caught.append(output[1][0][-1])

    handle = model.get_submodule(TAP).register_forward_hook(keep)
    try:
        with torch.inference_mode():
            model(x)
    finally:
        handle.remove()
    return caught[0].numpy()
