"""Small trained models, as Lightning saves them, and the data sets they were trained on."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from pytorch_forecasting import DeepAR, NHiTS, RecurrentNetwork, TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import EncoderNormalizer, GroupNormalizer, MultiNormalizer, TorchNormalizer
from pytorch_forecasting.metrics import MAE, RMSE, MultiLoss, QuantileLoss
from sklearn.preprocessing import MinMaxScaler

from tests.training import quiet_trainer
from undertow.schemas.windows import WindowBatch

STEPS = 40


@pytest.fixture(autouse=True)
def _fixed_weights() -> None:
    """A model's first weights are random: about one draw in twenty rounds by more than the 1e-6 that tests allow."""
    torch.manual_seed(4)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model, its data set and its checkpoint."""

    model: Any
    dataset: Any
    checkpoint: Path


def make_frame() -> pd.DataFrame:
    """Return four recordings of a walk in four channels."""
    rng = np.random.default_rng(5)
    frames = []
    for recording in range(4):
        walk = rng.normal(size=(STEPS, 4)).cumsum(axis=0) * 0.3 + recording
        modes = np.where(walk[:, 3] > recording, "run", "rest").astype(object)
        frame = pd.DataFrame(walk, columns=["ax", "ay", "gx", "gy"])
        frames.append(
            frame.assign(
                recording=f"r{recording}",
                t=np.arange(STEPS),
                place="ab"[recording % 2],
                mode=modes,
                hour=np.arange(STEPS) % 5 / 4,
                level=np.exp(walk[:, 0] / 4),
            )
        )
    return pd.concat(frames, ignore_index=True)


def make_dataset(**settings: Any) -> Any:
    return TimeSeriesDataSet(
        make_frame(),
        **{
            "time_idx": "t",
            "group_ids": ["recording"],
            "min_encoder_length": 4,
            "max_encoder_length": 12,
            "max_prediction_length": 3,
            **settings,
        },
    )


def recurrent(cell: str, dataset: Any) -> Any:
    loss = MultiLoss([MAE(), RMSE()])
    return RecurrentNetwork.from_dataset(dataset, cell_type=cell, hidden_size=8, rnn_layers=2, loss=loss)


def two_targets(**settings: Any) -> Any:
    normalizer = MultiNormalizer([TorchNormalizer(), EncoderNormalizer()])
    return make_dataset(
        target=["ax", "ay"], time_varying_unknown_reals=["ax", "ay"], target_normalizer=normalizer, **settings
    )


def single_target(**settings: Any) -> Any:
    return make_dataset(
        target="ax",
        time_varying_unknown_reals=["ax", "ay", "gx", "gy"],
        target_normalizer=GroupNormalizer(),
        **settings,
    )


def transformer() -> tuple[Any, Any]:
    dataset = single_target(
        add_relative_time_idx=True,
        add_target_scales=True,
        static_categoricals=["place"],
        time_varying_unknown_categoricals=["mode"],
    )
    model = TemporalFusionTransformer.from_dataset(
        dataset, hidden_size=8, attention_head_size=2, hidden_continuous_size=4, loss=QuantileLoss()
    )
    return model, dataset


def deepar() -> tuple[Any, Any]:
    dataset = make_dataset(target="ax", time_varying_unknown_reals=["ax"], target_normalizer=GroupNormalizer())
    return DeepAR.from_dataset(dataset, hidden_size=6, rnn_layers=1), dataset


def nhits() -> tuple[Any, Any]:
    dataset = single_target(min_encoder_length=12, add_encoder_length=False)
    return NHiTS.from_dataset(dataset, hidden_size=8), dataset


def lagged_transformer() -> tuple[Any, Any]:
    """Lags of a target and of a covariate, shorter and longer than the horizon of three steps."""
    dataset = make_dataset(
        target="ax",
        time_varying_unknown_reals=["ax", "ay", "gx"],
        time_varying_unknown_categoricals=["mode"],
        target_normalizer=GroupNormalizer(groups=["recording"]),
        scalers={"ay": EncoderNormalizer(), "gx": MinMaxScaler()},
        lags={"ax": [1, 5], "ay": [2, 4]},
    )
    return TemporalFusionTransformer.from_dataset(dataset, hidden_size=8, hidden_continuous_size=4), dataset


def lagged_recurrent() -> tuple[Any, Any]:
    dataset = make_dataset(
        target=["ax", "ay"],
        time_varying_unknown_reals=["ax", "ay"],
        target_normalizer=MultiNormalizer([GroupNormalizer(), EncoderNormalizer()]),
        lags={"ax": [3, 4], "ay": [3, 4]},
    )
    return recurrent("LSTM", dataset), dataset


def gappy_transformer() -> tuple[Any, Any]:
    dataset = make_dataset(
        target="ax",
        time_varying_known_reals=["t", "hour"],
        time_varying_unknown_reals=["ax", "ay"],
        time_varying_unknown_categoricals=["mode"],
        target_normalizer=EncoderNormalizer(),
        allow_missing_timesteps=True,
        constant_fill_strategy={"hour": 0.5, "mode": "rest"},
    )
    return TemporalFusionTransformer.from_dataset(dataset, hidden_size=8, hidden_continuous_size=4), dataset


MODELS: Mapping[str, Callable[[], tuple[Any, Any]]] = {
    "lstm": lambda: (recurrent("LSTM", dataset := two_targets()), dataset),
    "gru": lambda: (recurrent("GRU", dataset := two_targets()), dataset),
    "short": lambda: (recurrent("LSTM", dataset := two_targets(min_encoder_length=2)), dataset),
    "tft": transformer,
    "deepar": deepar,
    "nhits": nhits,
    "lagged-tft": lagged_transformer,
    "lagged-lstm": lagged_recurrent,
    "gappy-tft": gappy_transformer,
}


@pytest.fixture
def recordings() -> pd.DataFrame:
    """What the models were trained on."""
    return make_frame()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Return a function that trains the named model for two batches, once."""
    made: dict[str, Trained] = {}

    def train(name: str) -> Trained:
        if name not in made:
            lightning.seed_everything(3, verbose=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model, dataset = MODELS[name]()
                trainer = quiet_trainer(max_epochs=1, limit_train_batches=2)
                trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16))
                checkpoint = tmp_path_factory.mktemp(name) / "model.ckpt"
                trainer.save_checkpoint(checkpoint)
            made[name] = Trained(model=model.eval(), dataset=dataset, checkpoint=checkpoint)
        return made[name]

    return train


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Windows of a data set, and what the trained model makes of them without any of our code."""

    windows: WindowBatch
    output: Any
    """What the module returned in one call of the whole forward."""
    last: NDArray[np.float32]
    """Its last valid step, taken row by row; or itself, where it has no steps."""


@pytest.fixture(scope="session")
def reference() -> Callable[..., Reference]:
    """Return a function that runs a model on pytorch-forecasting's own batch, with a plain hook on one module.

    Lengths vary: windows near the beginning of a recording are short. `fewer` is how many steps less the module sees.
    """

    def run(trained: Trained, path: str, fewer: int = 0, rows: int = 64) -> Reference:
        x, _ = next(iter(trained.dataset.to_dataloader(train=False, batch_size=rows, num_workers=0)))
        outputs: list[Any] = []
        handle = trained.model.get_submodule(path).register_forward_hook(lambda _, __, output: outputs.append(output))
        with torch.inference_mode():
            trained.model(x)
        handle.remove()
        steps = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
        lengths = x["encoder_lengths"].numpy()
        last = [row if row.ndim == 1 else row[length - fewer - 1] for row, length in zip(steps, lengths, strict=True)]
        windows = read_windows(x, trained.dataset.max_lag)
        return Reference(windows=windows, output=outputs[0], last=torch.stack(last).numpy())

    return run


def read_windows(x: Any, lag: int = 0) -> WindowBatch:
    """Return the windows of pytorch-forecasting's own batch, as a producer would have sent them."""
    lengths, ends = x["encoder_lengths"].numpy(), x["decoder_time_idx"][:, 0].numpy()
    recordings = [f"r{code}" for code in x["groups"][:, 0].tolist()]
    frame = make_frame()
    pieces = [
        frame[(frame.recording == recording) & (frame.t >= end - length - lag) & (frame.t < end)]
        for recording, end, length in zip(recordings, ends, lengths, strict=True)
    ]
    joined = pd.concat(pieces, ignore_index=True)
    return WindowBatch(
        series={"recording": np.array(recordings, object)},
        end_us=ends.astype(np.int64),
        lengths=lengths + lag,
        past={name: joined[name].to_numpy() for name in ("ax", "ay", "gx", "gy", "mode", "hour", "level", "t")},
        future={"hour": x["decoder_time_idx"].numpy() % 5 / 4, "t": x["decoder_time_idx"].numpy()},
        static={"place": np.array(["ab"[int(recording[1]) % 2] for recording in recordings], object)},
    )


@pytest.fixture(scope="session")
def windows_of() -> Callable[[Any], WindowBatch]:
    """Return a function that makes windows of a batch of inputs."""
    return read_windows


@pytest.fixture(scope="session")
def datasets() -> Callable[..., Any]:
    """Return the function that makes data sets of the recordings."""
    return make_dataset


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, Any], Trained]:
    """Return a function that saves a model with its first weights: good for all that needs no sense in its numbers."""

    def save(model: Any, dataset: Any) -> Trained:
        trainer = quiet_trainer()
        trainer.strategy.connect(model)
        path = tmp_path_factory.mktemp("untrained") / "model.ckpt"
        trainer.save_checkpoint(path)
        return Trained(model=model.eval(), dataset=dataset, checkpoint=path)

    return save
