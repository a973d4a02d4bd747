"""A forecast as a feature, held against `predict` of pytorch-forecasting on its own batches."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_forecasting import DecoderMLP, NBeats, NHiTS, RecurrentNetwork, TemporalFusionTransformer, models
from pytorch_forecasting.data import EncoderNormalizer, GroupNormalizer, MultiNormalizer, TorchNormalizer
from pytorch_forecasting.metrics import (
    MAE,
    BetaDistributionLoss,
    LogNormalDistributionLoss,
    MultiLoss,
    NormalDistributionLoss,
    PoissonLoss,
    QuantileLoss,
)
from torch import nn

from tests.packing import pack
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.certify.forecast_proof import forecast_facts, with_forecast
from undertow.artifact.pack.read.trained import Trained
from undertow.core.errors import Refused
from undertow.core.features import Feature

QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
FIXED = {"min_encoder_length": 12}
ONE = {"target": "level", "time_varying_unknown_reals": ["level"]}
TWO = {
    "target": ["level", "ax"],
    "time_varying_unknown_reals": ["level", "ax"],
    "target_normalizer": MultiNormalizer([GroupNormalizer(transformation="softplus"), EncoderNormalizer()]),
}
TFT = {"hidden_size": 4, "attention_head_size": 1, "hidden_continuous_size": 2}
LOG = EncoderNormalizer(transformation="log")
KNOWN = {"time_varying_known_reals": ["hour"]}

CASES: Mapping[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "tft-quantiles": (
        TemporalFusionTransformer,
        {**ONE, **KNOWN, "target_normalizer": LOG, "add_encoder_length": True},
        {**TFT, "loss": QuantileLoss([0.1, 0.5, 0.9])},
    ),
    "tft-normal": (
        TemporalFusionTransformer,
        {**ONE, **KNOWN, "target_normalizer": GroupNormalizer(groups=["recording"], transformation="softplus")},
        {**TFT, "loss": NormalDistributionLoss(quantiles=[0.25, 0.5])},
    ),
    "tft-lognormal": (
        TemporalFusionTransformer,
        {**ONE, "target_normalizer": TorchNormalizer(transformation="log1p")},
        {**TFT, "loss": LogNormalDistributionLoss()},
    ),
    "tft-several": (
        TemporalFusionTransformer,
        {**TWO, **KNOWN},
        {**TFT, "loss": MultiLoss([QuantileLoss([0.2, 0.5]), MAE()])},
    ),
    "tft-poisson": (
        TemporalFusionTransformer,
        {**ONE, "target_normalizer": EncoderNormalizer()},
        {**TFT, "loss": PoissonLoss()},
    ),
    "lstm": (RecurrentNetwork, {**ONE, "target_normalizer": LOG}, {"hidden_size": 6}),
    "lstm-several": (RecurrentNetwork, TWO, {"cell_type": "GRU", "hidden_size": 6, "rnn_layers": 2}),
    "nbeats": (NBeats, {**ONE, **FIXED, "target_normalizer": LOG}, {"widths": [8, 8], "num_blocks": [1, 1]}),
    "nhits": (
        NHiTS,
        {**ONE, **FIXED, **KNOWN, "target_normalizer": LOG},
        {"hidden_size": 8, "loss": QuantileLoss([0.1, 0.3])},
    ),
    "nhits-several": (
        NHiTS,
        {**TWO, **FIXED},
        {"hidden_size": 8, "loss": MultiLoss([MAE(), QuantileLoss([0.5, 0.9])])},
    ),
    "mlp": (DecoderMLP, {**ONE, **KNOWN, "target_normalizer": LOG}, {"hidden_size": 8, "n_hidden_layers": 1}),
    "tide": (models.TiDEModel, {**ONE, **FIXED, **KNOWN, "target_normalizer": LOG}, {"hidden_size": 8}),
    "tide-several": (models.TiDEModel, {**TWO, **FIXED}, {"hidden_size": 8}),
    "timexer": (
        models.TimeXer,
        {**ONE, **FIXED, "time_varying_unknown_reals": ["level", "ay"], "target_normalizer": LOG},
        {"hidden_size": 8, "n_heads": 2, "e_layers": 1, "patch_length": 4, "d_ff": 8, "loss": QuantileLoss([0.2, 0.5])},
    ),
}


@pytest.fixture(scope="module")
def source(datasets: Callable[..., Any], untrained: Callable[[Any, Any], Any]) -> Callable[[str], Any]:
    def make(name: str) -> Any:
        lightning.seed_everything(5, verbose=False)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        cls, settings, hyperparameters = CASES[name]
        dataset = datasets(**settings)
        return untrained(cls.from_dataset(dataset, **hyperparameters), dataset)

    return make


def predict(source: Any, mode: str) -> tuple[Any, Any]:
    """Return what pytorch-forecasting predicts of each target, and the inputs from which it did."""
    loader = source.dataset.to_dataloader(train=False, batch_size=256, num_workers=0)
    result = source.model.predict(loader, mode=mode, return_x=True, trainer_kwargs=dict(QUIET))
    return (result.output if isinstance(result.output, list) else [result.output]), result.x


def expected_of(source: Any) -> tuple[NDArray[np.float64], Any]:
    """Return quantiles where the loss has them, else points: targets, then steps, then quantiles."""
    losses = getattr(source.model.loss, "metrics", [source.model.loss])
    parts, x = predict(source, "quantiles")
    if not all(loss.quantiles for loss in losses):
        points, _ = predict(source, "prediction")
        parts = [one if loss.quantiles else point for one, point, loss in zip(parts, points, losses, strict=True)]
    return np.concatenate([np.asarray(part, np.float64).reshape(len(part), -1) for part in parts], axis=1), x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_what_pytorch_forecasting_predicts(
    name: str, source: Callable[[str], Any], windows_of: Any, tmp_path: Path
) -> None:
    model = source(name)
    expected, x = expected_of(model)
    pack(model.checkpoint, tmp_path / "a", name="walk", taps={"ahead": "forecast"}, trust=True)
    embedded = load(tmp_path / "a").embed(windows_of(x))
    assert embedded.faults == ()
    found = embedded.embeddings.features["ahead"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_hidden_state_and_forecast_come_of_one_forward(
    source: Callable[[str], Any], windows_of: Any, tmp_path: Path
) -> None:
    model = source("tft-quantiles")
    expected, x = expected_of(model)
    windows = windows_of(x).take(np.arange(40))
    taps = {"hidden": "lstm_encoder:last", "ahead": "forecast"}
    manifest = pack(model.checkpoint, tmp_path / "both", name="walk", taps=taps, trust=True)
    pack(model.checkpoint, tmp_path / "hidden", name="walk", taps={"hidden": taps["hidden"]}, trust=True)
    assert manifest.view().features == (("hidden", 4), ("ahead", 9))
    calls: list[int] = []
    both = load(tmp_path / "both")
    both._taps._model.register_forward_pre_hook(lambda *_: calls.append(1))
    found = both.embed(windows).embeddings.features
    assert len(calls) == 1
    alone = load(tmp_path / "hidden").embed(windows).embeddings.features
    np.testing.assert_allclose(found["hidden"], alone["hidden"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["ahead"], expected[:40], rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_numbers_of_a_forecast_are_explained(source: Callable[[str], Any], tmp_path: Path) -> None:
    manifest = pack(source("tft-several").checkpoint, tmp_path / "a", name="w", taps={"ahead": "forecast"}, trust=True)
    assert manifest.view().facts["ahead"] == {
        "targets": ["level", "ax"],
        "horizon": 3,
        "quantiles": [[0.2, 0.5], "point"],
        "order": "targets, then steps, then quantiles",
    }
    assert read_manifest(tmp_path / "a") == manifest


def refuse(checkpoint: Path, output: Path, tap: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        pack(checkpoint, output, name="walk", taps={"ahead": tap}, trust=True)
    assert not output.exists()


@pytest.mark.parametrize("tap", ["forecast:mean", "forecast,l2", "forecast#1", "forecast[0]"])
def test_a_forecast_is_taken_whole(tap: str, source: Callable[[str], Any], tmp_path: Path) -> None:
    refuse(source("lstm").checkpoint, tmp_path / "a", tap, "the forecast is taken as it is, by ahead=forecast")


def test_a_model_that_draws_samples_has_no_forecast(trained: Callable[[str], Any], tmp_path: Path) -> None:
    refuse(trained("deepar").checkpoint, tmp_path / "a", "forecast", "DeepAR has no forecast .*: it draws random")


def test_a_distribution_whose_quantiles_are_drawn_is_no_forecast(
    datasets: Callable[..., Any], untrained: Callable[[Any, Any], Any], tmp_path: Path
) -> None:
    dataset = datasets(target="hour", target_normalizer=EncoderNormalizer(transformation="logit"))
    model = TemporalFusionTransformer.from_dataset(dataset, **TFT, loss=BetaDistributionLoss())
    checkpoint = untrained(model, dataset).checkpoint
    refuse(checkpoint, tmp_path / "a", "forecast", "the quantiles of its BetaDistributionLoss are drawn, not computed")


def with_own_normalizer(checkpoint: Path, output: Path) -> Path:
    """Give the model a way to scale its output back that is no plain data."""
    data = torch.load(checkpoint, weights_only=False)
    own = TorchNormalizer(transformation={"forward": torch.log1p, "reverse": torch.expm1})
    data["hyper_parameters"]["output_transformer"] = own
    torch.save(data, output)
    return output


def test_an_output_that_is_scaled_back_by_code_is_no_forecast(source: Callable[[str], Any], tmp_path: Path) -> None:
    checkpoint = with_own_normalizer(source("lstm").checkpoint, tmp_path / "own.ckpt")
    refuse(checkpoint, tmp_path / "a", "forecast", "its output_transformer is no normalizer that is known")
    refuse(checkpoint, tmp_path / "a", "rnn#2", "needs objects of the training")
    pack(checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)


@pytest.mark.parametrize("peeped", ["decoder_target", "decoder_cont", "decoder_cat"])
def test_a_model_that_looks_at_what_nobody_knows_yet_has_no_forecast(
    peeped: str,
    datasets: Callable[..., Any],
    untrained: Callable[[Any, Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = datasets(**ONE, **KNOWN, time_varying_unknown_categoricals=["mode"])
    checkpoint = untrained(DecoderMLP.from_dataset(dataset, hidden_size=4, loss=MAE()), dataset).checkpoint
    blind = DecoderMLP.forward

    def peep(self: Any, x: Any) -> Any:
        seen = x[peeped].reshape(len(x["decoder_cont"]), -1).sum(dim=1)
        return blind(self, {**x, "decoder_cont": x["decoder_cont"] + seen[:, None, None]})

    monkeypatch.setattr(DecoderMLP, "forward", peep)
    refuse(checkpoint, tmp_path / "a", "forecast", "it depends on what is observed after the window")


def plain(**layers: nn.Module) -> Trained:
    """Return a model that is none of pytorch-forecasting's."""
    model: Any = nn.Sequential(OrderedDict(layers))
    return Trained(model=model, call=model, recipe=None, preprocessing=None, contract=None, digest="")


def test_a_module_of_ones_own_that_is_named_so_is_a_tap_like_others() -> None:
    own, features = plain(forecast=nn.Linear(2, 2)), {"ahead": Feature.parse("forecast")}
    assert with_forecast(own, features) is own
    assert forecast_facts(own, features) == {}


def test_a_model_that_is_none_of_pytorch_forecastings_has_no_forecast() -> None:
    with pytest.raises(Refused, match="no model of pytorch-forecasting, whose last layer may be tapped"):
        with_forecast(plain(last=nn.Linear(2, 2)), {"ahead": Feature.parse("forecast")})
