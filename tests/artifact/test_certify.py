"""What a dry run learns of a tap, and which taps are not certified, on models made for each case."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from undertow.artifact.dry_runs.layouts import PROBE, WIDER, find_layout
from undertow.artifact.dry_runs.learn import learn, make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.certificate import Certificate
from undertow.artifact.format.recipes import ModelRecipe
from undertow.artifact.pack.certify.proof import Weights, certify
from undertow.artifact.pack.certify.whole import left_open
from undertow.artifact.pack.read.trained import Trained
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused
from undertow.core.features import Feature, Layout, Tap
from undertow.core.preprocessing import Preprocessing, Real, Target
from undertow.core.scalers import FixedScaler
from undertow.schemas.contract import Column, IdColumn, InputContract

SCALER = FixedScaler(center=100.0, scale=5.0)
PREPROCESSING = Preprocessing(
    max_encoder_length=9,
    prediction_length=4,
    reals=(Real(name="a", role="target", scaler=SCALER),),
    categoricals=(),
    targets=(Target(name="a", scaler=SCALER, reported=SCALER),),
    several_targets=False,
    groups=(None,),
    encoders=(),
)
CONTRACT = InputContract(
    series=(IdColumn(name="watch", type="string"),), past=(Column(name="a"),), min_length=1, max_length=9
)


class Model(nn.Module):
    """A tap of each kind there is among pytorch-forecasting's models, and of kinds that no window has."""

    def __init__(self) -> None:
        super().__init__()
        for name in (
            "steps", "later", "both", "decoder", "vector", "time_first", "channels_first", "windowed", "flattened",
            "by_target", "heads", "shrunk", "whole", "batch", "random", "infinite", "fragile", "hopeless", "empty",
        ):  # fmt: skip
            setattr(self, name, nn.Identity())
        self.calls = 0

    def forward(self, x: dict[str, Any]) -> None:
        values: Tensor = x["encoder_cont"].expand(-1, -1, 2)  # (n, t, 2)
        rows, decoder = len(values), int(x["decoder_lengths"].max())
        future = torch.ones(rows, decoder, 2)
        self.calls += 1
        self.steps(values)
        self.later(values[:, 1:])
        self.both(torch.cat([values, future], dim=1))
        self.decoder(future * values[:, :1])
        self.vector(values[:, 0])
        self.time_first(values.transpose(0, 1))
        self.channels_first(values.transpose(1, 2))
        if values.shape[1] > 4:
            self.windowed(values.transpose(1, 2)[:, :, 4:])
        self.flattened((future * values[:, :1]).reshape(rows * decoder, 2))
        self.by_target(values.repeat_interleave(3, dim=0))
        self.heads(torch.ones(rows, decoder, 2, values.shape[1] + decoder) * values[:, :1, :1, None])
        self.whole(values.mean(dim=(0, 1)))
        self.shrunk(values[:, : (values.shape[1] + 1) // 2])
        self.batch(values - values.mean(dim=0))
        self.random(values + self.calls)
        self.infinite(values[:, 0] / torch.zeros(rows, 1))
        self.fragile((values[:, 0] + 16.0 * rows**2) - 16.0 * rows**2)  # of other last bits in another batch
        self.hopeless((values[:, 0] + 2.0**10 * rows**2) - 2.0**10 * rows**2)
        self.empty(values[:, 0, :0])


KEPT = Weights(parameters=0, size=0)
RECIPE = ModelRecipe(cls="Model", hyperparameters={}, targets=("a",), losses=(), outputs=())


def as_trained(model: Model) -> Trained:
    return Trained(
        model=model, call=model, recipe=RECIPE, preprocessing=PREPROCESSING, contract=CONTRACT, digest="0" * 64
    )


def learnt(tap: str, contract: InputContract = CONTRACT) -> tuple[Layout, InputContract]:
    features, exact = learn(Model(), {"hidden": Feature.parse(tap)}, PREPROCESSING, contract)
    return features[0].layout, exact


@pytest.mark.parametrize(
    ("tap", "layout"),
    [
        ("steps:last", Layout(batch_axis=0, time_axis=1, steps=0, size=2)),
        ("later:last+mean", Layout(batch_axis=0, time_axis=1, steps=-1, size=4)),
        ("both:mean", Layout(batch_axis=0, time_axis=1, steps=4, size=2)),
        ("decoder:flatten", Layout(batch_axis=0, time_axis=1, steps=None, size=8)),
        ("vector:none", Layout(batch_axis=0, size=2)),
        ("time_first:last", Layout(batch_axis=1, time_axis=1, steps=0, size=2)),
        ("channels_first:last", Layout(batch_axis=0, time_axis=2, steps=0, size=2)),
        ("windowed:mean", Layout(batch_axis=0, time_axis=2, steps=-4, size=2)),
        ("flattened:last", Layout(batch_axis=0, rows=4, time_axis=1, steps=None, size=2)),
        ("by_target:last", Layout(batch_axis=0, rows=3, time_axis=2, steps=0, size=6)),
        ("heads:mean", Layout(batch_axis=0, time_axis=3, steps=4, size=8)),
    ],
)
def test_a_dry_run_learns_where_windows_and_steps_lie(tap: str, layout: Layout) -> None:
    assert learnt(tap)[0] == layout


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.Linear])
@pytest.mark.parametrize("widths", [[9], [9, 8, 5, 2]])
def test_as_many_channels_as_a_window_has_steps_are_no_steps(kind: type[nn.Module], widths: list[int]) -> None:
    """As of a decoder that takes one step at each call."""
    shapes = dict.fromkeys(widths, (PROBE, 1, 9))
    layout = find_layout(Tap(path="rnn", call=1), shapes, (WIDER, 1, 9), 4, kind)
    assert layout == Layout(batch_axis=0, time_axis=1, steps=None, size=0)


def test_the_least_length_grows_where_a_tap_begins_later() -> None:
    assert learnt("steps:last")[1].min_length == 1
    assert learnt("later:last")[1].min_length == 2


@pytest.mark.parametrize("length", [9, 1])
def test_one_length_of_windows_is_enough_to_learn(length: int) -> None:
    contract = InputContract(series=CONTRACT.series, past=CONTRACT.past, min_length=length, max_length=length)
    assert learnt("steps:flatten", contract)[0] == Layout(batch_axis=0, time_axis=1, steps=0, size=2 * length)
    assert learnt("both:last", contract)[0].steps == 4


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        ("whole:none", r"gives shape \(2,\) for 3 windows and \(2,\) for 4"),
        ("shrunk:last", "its steps are not the window's"),
        ("steps:flatten", "windows may have 1 to 9 steps"),
        ("steps:flatten[-2:]", r"flattens 1 to 2 steps.*such as flatten\[-1:\]"),
        ("steps:last+mean[4:]", r"last\+mean\[4:\] takes nothing of 1 step,"),
        (
            "vector:last+mean",
            r"the tap vector#0 gives one vector of \d+ numbers for each window, .* last\+mean could pool; write",
        ),
        (
            "steps:none",
            r"the tap steps#0 gives 9 steps of \d+ numbers .*; pool them by last, mean, max, first, flatten",
        ),
        ("empty:none", r"holds no numbers: its shape is \(3, 0\)"),
    ],
)
def test_a_tap_without_a_vector_of_a_window_is_refused(tap: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        learnt(tap)


def certified(tap: str) -> tuple[dict[str, Any], Certificate]:
    model = Model()
    features, contract = learn(model, {"hidden": Feature.parse(tap)}, PREPROCESSING, CONTRACT)
    embedder = Embedder(
        model=model,
        features=features,
        preprocessing=PREPROCESSING,
        space="0" * 64,
        sample=sample_windows(contract, PREPROCESSING, sample_lengths(contract)),
        is_threadsafe=True,
    )
    return certify(embedder, as_trained(model), features, contract, KEPT)


@pytest.mark.parametrize(
    "tap",
    [
        "steps:last+mean+max", "later:mean", "both:max", "time_first:last", "vector", "channels_first:max", "flattened",
        "by_target:last", "heads:mean",
    ],
)  # fmt: skip
def test_a_tap_of_the_window_alone_is_certified(tap: str) -> None:
    vectors, certificate = certified(tap)
    assert np.isfinite(vectors["hidden"]).all()
    (proof,) = certificate.features
    assert max(proof.alone, proof.shuffled, proof.whole) <= certificate.tolerance == 1e-6
    assert Certificate.from_json(json.loads(json.dumps(certificate.to_json()))) == certificate


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        ("batch:last", "embedded otherwise alone than in a batch"),
        ("hopeless:none", "embedded otherwise alone than in a batch"),
        ("random:last", "embedded otherwise the second time"),
        ("infinite:none", "expected finite numbers"),
    ],
)
def test_a_tap_that_breaks_a_promise_is_not_certified(tap: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        certified(tap)


def test_what_float32_itself_leaves_open_is_no_fault_of_a_tap_and_stands_in_the_certificate() -> None:
    _, certificate = certified("fragile:none")
    (proof,) = certificate.features
    assert certificate.tolerance < proof.alone <= certificate.tolerance + 2 * proof.left_open < 1e-4
    assert any("float32 leaves" in line for line in certificate.lines())
    assert Certificate.from_json(json.loads(json.dumps(certificate.to_json()))) == certificate


def test_a_model_is_bit_for_bit_what_it_was_after_it_ran_in_double_precision() -> None:
    model = nn.Sequential(nn.Linear(1, 4), nn.LayerNorm(4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = replace(as_trained(Model()), model=model, call=lambda x: model(x["encoder_cont"]))
    features, _ = learn(model, {"hidden": Feature.parse("1:last")}, PREPROCESSING, CONTRACT, trained.call)
    x = make_inputs(PREPROCESSING, CONTRACT, sample_lengths(CONTRACT))
    assert 0 < left_open(trained, features, x)["hidden"] < 1e-4
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


def test_a_model_that_cannot_run_in_double_precision_leaves_nothing_open() -> None:
    held = torch.ones(1, 4)  # no parameter
    model = nn.Identity()
    trained = replace(as_trained(Model()), model=nn.Sequential(model), call=lambda x: model(x["encoder_cont"] @ held))
    features, _ = learn(trained.model, {"hidden": Feature.parse("0:last")}, PREPROCESSING, CONTRACT, trained.call)
    x = make_inputs(PREPROCESSING, CONTRACT, sample_lengths(CONTRACT))
    assert left_open(trained, features, x) == {"hidden": 0.0}


def test_a_model_rebuilt_otherwise_than_it_was_trained_is_not_certified() -> None:
    model, other = Model(), Model()
    other.steps = nn.Linear(2, 2)  # type: ignore[assignment]  # any module will do
    features, contract = learn(model, {"hidden": Feature.parse("steps:last")}, PREPROCESSING, CONTRACT)
    embedder = Embedder(
        model=other,
        features=features,
        preprocessing=PREPROCESSING,
        space="0" * 64,
        sample=sample_windows(contract, PREPROCESSING, sample_lengths(contract)),
        is_threadsafe=True,
    )
    with pytest.raises(Refused, match="otherwise than by the whole trained model"):
        certify(embedder, as_trained(model), features, contract, KEPT)


def test_sample_windows_fit_the_contract_and_are_moderate_to_the_model() -> None:
    windows = sample_windows(CONTRACT, PREPROCESSING, sample_lengths(CONTRACT))
    assert (windows.lengths.max(), windows.lengths.min()) == (9, 1)
    scaled = (windows.past["a"].astype(float) - 100.0) / 5.0
    assert np.abs(scaled).max() <= 1.5
    assert scaled.std() > 0.5
