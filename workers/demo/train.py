"""Train the demonstration's model: a small LSTM that forecasts a watch's six channels.

In: recordings, a folder. Out: a Lightning checkpoint, kept under the name of its recipe. Knows no exercise: the model
never sees a label.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from undertow.core.private_files import make_folder
from undertow.core.publication import replacing
from undertow.demo.watch import CHANNELS, STEPS, Recording

LIBRARIES = ("torch", "lightning", "pytorch-forecasting", "seglearn")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecipe:
    """What decides the weights, apart from the data and the libraries."""

    hidden_size: int = 64
    layers: int = 2
    horizon: int = 8
    batch_size: int = 128
    batches: int = 200
    learning_rate: float = 3e-3
    clip: float = 0.5
    seed: int = 0

    @property
    def key(self) -> str:
        """Tell models of other recipes or other library versions apart."""
        identity = {**asdict(self), **{name: version(name) for name in LIBRARIES}}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def checkpoint_path(folder: Path, recipe: TrainRecipe) -> Path:
    """Return where the checkpoint of this recipe is, or will be."""
    return folder / f"lstm-{recipe.key}.ckpt"


def train(recordings: Sequence[Recording], folder: Path, recipe: TrainRecipe, console: Console) -> Path:
    """Train and save the model, unless it was trained before; return the checkpoint, whole or not there."""
    path = checkpoint_path(folder, recipe)
    if path.exists():
        return path
    with quiet():
        trainer = _fit(recordings, recipe, console)
        make_folder(folder)
        with replacing(path) as temporary:
            trainer.save_checkpoint(temporary)
    return path


def frame(recordings: Sequence[Recording]) -> pd.DataFrame:
    """Lay recordings out as `TimeSeriesDataSet` takes them."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "recording": recording.name,
                    "step": np.arange(len(recording.steps)),
                    **{channel: recording.steps[:, i] for i, channel in enumerate(CHANNELS)},
                }
            )
            for recording in recordings
        ],
        ignore_index=True,
    )


def _fit(recordings: Sequence[Recording], recipe: TrainRecipe, console: Console) -> Any:
    # Half a minute of imports on a small machine, which a run that finds its model does not need.
    import torch  # noqa: PLC0415
    from lightning.pytorch import Callback, Trainer, seed_everything  # noqa: PLC0415
    from pytorch_forecasting import MultiNormalizer, RecurrentNetwork, TimeSeriesDataSet  # noqa: PLC0415
    from pytorch_forecasting.data.encoders import TorchNormalizer  # noqa: PLC0415
    from pytorch_forecasting.metrics import MAE, MultiLoss  # noqa: PLC0415

    seed_everything(recipe.seed, verbose=False)
    steps = frame(recordings)
    channels = list(CHANNELS)
    data = TimeSeriesDataSet(
        steps,
        time_idx="step",
        target=channels,
        group_ids=["recording"],
        time_varying_unknown_reals=channels,
        min_encoder_length=STEPS,
        max_encoder_length=STEPS,
        min_prediction_length=recipe.horizon,
        max_prediction_length=recipe.horizon,
        # One centre and scale for all wearers: to normalise each window takes gravity's direction away, which tells how
        # the arm is held (leaving known wearers out, a linear probe falls from 0.72 to 0.62).
        target_normalizer=MultiNormalizer([TorchNormalizer() for _ in channels]),
    )
    model = RecurrentNetwork.from_dataset(
        data,
        cell_type="LSTM",
        hidden_size=recipe.hidden_size,
        rnn_layers=recipe.layers,
        dropout=0.0,
        # Errors in units of each channel's spread, or the fastest axis of the gyroscope outweighs all others.
        loss=MultiLoss([MAE() for _ in channels], weights=(1 / steps[channels].std()).tolist()),
        logging_metrics=torch.nn.ModuleList(),
        optimizer="adam",
        learning_rate=recipe.learning_rate,
        log_interval=-1,
    )
    with _progress(console) as progress:
        bar = progress.add_task("training", total=recipe.batches, loss=float("nan"))

        class Show(Callback):  # type: ignore[misc]  # lightning is not typed
            def on_train_batch_end(self, *arguments: Any, **_: Any) -> None:
                progress.update(bar, advance=1, loss=float(arguments[2]["loss"]))

        trainer = Trainer(
            max_steps=recipe.batches,
            max_epochs=-1,
            accelerator="cpu",
            gradient_clip_val=recipe.clip,
            callbacks=[Show()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        threads = torch.get_num_threads()
        # So small a network gains a fifth by a second thread where a core is idle, and loses many times that where the
        # threads wait for each other because one of them has lost its core.
        torch.set_num_threads(1)
        try:
            trainer.fit(model, data.to_dataloader(train=True, batch_size=recipe.batch_size, num_workers=0))
        except SystemExit as exit_:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from exit_
        finally:
            torch.set_num_threads(threads)
    return trainer


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("batches, loss {task.fields[loss]:.2f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence advice about loaders, loggers and devices: this training is small on purpose."""
    import lightning.pytorch  # noqa: F401, PLC0415 - it would set the levels when it is imported later

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
