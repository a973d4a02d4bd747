"""Every model of pytorch-forecasting, every tap: the embedding is what a plain hook on the trained model sees.

The reference is pytorch-forecasting alone: its data set builds the inputs, its unmodified model runs to the end.
"""

import itertools
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_forecasting import TimeSeriesDataSet, models
from pytorch_forecasting.data import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from pytorch_forecasting.metrics import MAE, MultiLoss, QuantileLoss

from tests.packing import pack
from tests.training import quiet_trainer
from undertow.artifact.load.loader import load
from undertow.artifact.pack.read.trained import read_trained
from undertow.artifact.pack.survey.survey import Point, survey
from undertow.core.embedder import Embedder
from undertow.core.features import Feature
from undertow.core.taps import Taps
from undertow.schemas.windows import WindowBatch

pytestmark = pytest.mark.filterwarnings("ignore")

SERIES = ["pump", "side"]
FIXED = {"min_encoder_length": 8, "target": "flow"}
RICH = {
    "static_categoricals": ["kind"],
    "static_reals": ["depth"],
    "time_varying_known_categoricals": ["day"],
    "time_varying_known_reals": ["t", "valve"],
}
TWO = {
    "target": ["flow", "head"],
    "time_varying_unknown_reals": ["flow", "head"],
    "target_normalizer": MultiNormalizer([EncoderNormalizer(transformation="softplus"), TorchNormalizer()]),
}
MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tft": (
        "TemporalFusionTransformer",
        {
            **RICH, "target": "flow", "time_varying_unknown_reals": ["flow", "head"],
            "time_varying_unknown_categoricals": ["mode"], "add_relative_time_idx": True, "add_target_scales": True,
            "add_encoder_length": True, "target_normalizer": GroupNormalizer(groups=SERIES, transformation="log1p"),
            "categorical_encoders": {"mode": NaNLabelEncoder(add_nan=True)},
        },
        {"hidden_size": 8, "attention_head_size": 2, "hidden_continuous_size": 4, "loss": QuantileLoss()},
    ),
    "tft-two": (
        "TemporalFusionTransformer", {**RICH, **TWO},
        {"hidden_size": 8, "attention_head_size": 1, "hidden_continuous_size": 4, "output_size": [1, 1],
         "loss": MultiLoss([MAE(), MAE()])},
    ),
    "lstm": (
        "RecurrentNetwork", {**RICH, **TWO},
        {"cell_type": "LSTM", "hidden_size": 8, "rnn_layers": 2, "loss": MultiLoss([MAE(), MAE()])},
    ),
    "gru": (
        "RecurrentNetwork",
        {**RICH, "target": "flow", "time_varying_unknown_reals": ["flow"], "target_normalizer": EncoderNormalizer()},
        {"cell_type": "GRU", "hidden_size": 8, "rnn_layers": 1, "loss": MAE()},
    ),
    "deepar": (
        "DeepAR",
        {**RICH, "target": "flow", "time_varying_unknown_reals": ["flow"],
         "target_normalizer": GroupNormalizer(groups=SERIES)},
        {"hidden_size": 8, "rnn_layers": 2},
    ),
    "nbeats": (
        "NBeats", {**FIXED, "time_varying_unknown_reals": ["flow"], "target_normalizer": EncoderNormalizer()},
        {"widths": [8, 16], "num_blocks": [1, 1], "num_block_layers": [2, 2]},
    ),
    "nbeats-kan": (
        "NBeatsKAN", {**FIXED, "time_varying_unknown_reals": ["flow"], "target_normalizer": TorchNormalizer()},
        {"widths": [8, 16], "num_blocks": [1, 1], "num_block_layers": [2, 2]},
    ),
    "nhits": (
        "NHiTS", {**RICH, **TWO, "min_encoder_length": 8},
        {"hidden_size": 8, "loss": MultiLoss([MAE(), MAE()])},
    ),
    "mlp": (
        "DecoderMLP", {**RICH, "target": "flow", "time_varying_unknown_reals": ["flow", "head"]},
        {"hidden_size": 8, "n_hidden_layers": 2, "loss": MAE()},
    ),
    "tide": (
        "TiDEModel",
        {**FIXED, "static_reals": ["depth"], "time_varying_known_reals": ["valve"],
         "time_varying_unknown_reals": ["flow"]},
        {"hidden_size": 8, "temporal_decoder_hidden": 4, "loss": MAE()},
    ),
    "timexer": (
        "TimeXer", {**RICH, **FIXED, "time_varying_unknown_reals": ["flow", "head"]},
        {"hidden_size": 8, "n_heads": 2, "e_layers": 1, "d_ff": 8, "patch_length": 4, "loss": MAE()},
    ),
    "xlstm": (
        "xLSTMTime", {**FIXED, "time_varying_unknown_reals": ["flow"]},
        {"input_size": 1, "hidden_size": 8, "output_size": 1, "xlstm_type": "slstm", "num_layers": 1,
         "input_projection_size": 8, "loss": MAE()},
    ),
}  # fmt: skip


def make_frame() -> pd.DataFrame:
    rng, parts = np.random.default_rng(11), []
    for index, (pump, side) in enumerate(itertools.product(["p0", "p1"], ["left", "right"])):
        steps = np.arange(22)
        parts.append(
            pd.DataFrame(
                {
                    "pump": pump, "side": side, "t": steps, "kind": "ab"[index % 2], "depth": 3.0 + index,
                    "day": np.array(["mo", "tu", "we"])[steps % 3], "valve": np.sin(steps / 3.0 + index),
                    "mode": rng.choice(["run", "rest"], len(steps)),
                    "flow": rng.gamma(2.0, 1.0 + index, len(steps)) + 0.1, "head": rng.normal(index, 1.0, len(steps)),
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trained model, its checkpoint's survey, and one batch of its data set both as `x` and as windows."""

    name: str
    model: Any
    trained: Any
    points: list[Point]
    x: Any
    windows: WindowBatch
    checkpoint: Any

    def seen(self) -> dict[tuple[str, int], Any]:
        """What each module returned, call by call, in one whole forward."""
        fired: defaultdict[str, list[Any]] = defaultdict(list)
        handles = [
            module.register_forward_hook(lambda _m, _i, output, path=path: fired[path].append(_copied(output)))
            for path, module in self.model.named_modules(remove_duplicate=False)
            if path
        ]
        with torch.inference_mode():
            self.model(self.x)
        for handle in handles:
            handle.remove()
        return {(path, call): output for path, outputs in fired.items() for call, output in enumerate(outputs)}


def _copied(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.clone()
    if isinstance(output, dict):
        return {key: _copied(value) for key, value in output.items()}
    return [_copied(value) for value in output] if isinstance(output, tuple | list) else output


def windows_of(dataset: Any, frame: pd.DataFrame, contract: Any) -> WindowBatch:
    """The windows of the data set's samples, cut from the frame."""
    frame = frame.sort_values([*SERIES, "t"]).reset_index(drop=True)
    horizon = dataset.max_prediction_length
    samples = [frame.iloc[row.index_start : row.index_end + 1] for row in dataset.index.itertuples()]
    past, future = [one.iloc[:-horizon] for one in samples], [one.iloc[-horizon:] for one in samples]

    def values(column: Any, parts: list[pd.DataFrame]) -> list[np.ndarray]:
        kind = float if column.is_real else object
        return [part[column.name].to_numpy().astype(kind) for part in parts]

    return WindowBatch(
        series={
            column.name: np.array([one[column.name].iloc[-1] for one in past], object) for column in contract.series
        },
        end_us=np.arange(len(samples)),
        lengths=np.array([len(one) for one in past]),
        past={column.name: np.concatenate(values(column, past)) for column in contract.past},
        future={column.name: np.stack(values(column, future)) for column in contract.future},
        static={column.name: np.array([one[0] for one in values(column, past)]) for column in contract.static},
    )


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    cls, data, options = MODELS[request.param]
    frame = make_frame()
    settings = {
        "time_idx": "t", "group_ids": SERIES, "min_encoder_length": 3, "max_encoder_length": 8,
        "min_prediction_length": 2, "max_prediction_length": 2, **data,
    }  # fmt: skip
    lightning.seed_everything(5, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet(frame, **settings)
        model = getattr(models, cls).from_dataset(dataset, **options)
        trainer = quiet_trainer(max_steps=2)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16))
        checkpoint = tmp_path_factory.mktemp(request.param) / "model.ckpt"
        trainer.save_checkpoint(checkpoint)
        trained = read_trained(checkpoint, trust=True)
        x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=len(dataset))))
    return Case(
        name=request.param,
        model=model.eval(),
        trained=trained,
        points=[point for point in survey(trained).points() if point.obstacle is None],
        x=x,
        windows=windows_of(dataset, frame, trained.contract),
        checkpoint=checkpoint,
    )


def select(output: Any, elements: tuple[int | str, ...]) -> np.ndarray:
    for element in elements:
        output = output[element]
    return output.numpy()


def expected(point: Point, output: Any, lengths: np.ndarray) -> np.ndarray:
    """The last step of each window that is one, or the vector: row by row, by plain indexing."""
    layout = point.layout
    assert layout is not None
    hidden = np.moveaxis(select(output, point.tap.select), layout.batch_axis, 0)
    hidden = hidden if layout.rows == 1 else hidden.reshape(len(lengths), layout.rows, *hidden.shape[1:])
    rows = []
    for row, length in zip(hidden, lengths, strict=True):
        if layout.time_axis is None:
            rows.append(row.ravel())
        else:
            steps = np.moveaxis(row, layout.time_axis - 1, 0)
            rows.append(steps[-1 if layout.steps is None else length - 1 + min(layout.steps, 0)].ravel())
    return np.array(rows)


def close(found: np.ndarray, reference: np.ndarray) -> bool:
    return bool(np.abs(found - reference).max() <= 1e-6 * max(1.0, np.abs(reference).max()))


def test_every_tap_embeds_as_a_plain_hook_sees_it_alone_shuffled_and_among_others(case: Case, tmp_path: Any) -> None:
    taps = {f"f{index}": Feature(tap=point.tap) for index, point in enumerate(case.points)}
    pack(case.checkpoint, tmp_path / "a", name="walk", taps=taps, trust=True)
    embedder = load(tmp_path / "a")
    found = embedded(embedder, case.windows)
    order = np.random.default_rng(0).permutation(len(case.windows))
    shuffled = embedded(embedder, case.windows.take(order))
    few = np.argsort(case.windows.lengths, kind="stable")[[0, -1]]  # the shortest and the longest, each by itself
    alone = [embedded(embedder, case.windows.take(few[[row]])) for row in range(len(few))]
    outputs, lengths = case.seen(), case.x["encoder_lengths"].numpy()
    assert len(case.points) > 3
    for name, point in zip(taps, case.points, strict=True):
        reference = expected(point, outputs[point.tap.path, point.tap.call], lengths)
        assert close(found[name], reference), point.tap
        assert close(shuffled[name], reference[order]), point.tap
        assert close(np.concatenate([one[name] for one in alone]), reference[few]), point.tap


def embedded(embedder: Embedder, windows: WindowBatch) -> Any:
    result = embedder.embed(windows)
    assert result.faults == ()
    return result.embeddings.features


def test_every_tap_is_the_same_when_the_forward_stops_there(case: Case) -> None:
    outputs = case.seen()
    for point in case.points:
        with Taps(case.model, [point.tap]) as taps:
            hidden = taps.run(case.x)[point.tap].numpy()
        assert close(hidden, select(outputs[point.tap.path, point.tap.call], point.tap.select)), point.tap
