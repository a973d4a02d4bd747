"""A rewritten model gives what the unmodified one gives, module by module and as a whole; else it runs as it is."""

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_forecasting import (
    DecoderMLP,
    DeepAR,
    NBeats,
    NHiTS,
    RecurrentNetwork,
    TemporalFusionTransformer,
    TiDEModel,
    TimeSeriesDataSet,
)
from pytorch_forecasting.metrics import MAE
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from undertow.artifact.faster import rewrite as rewriting
from undertow.artifact.faster.rewrite import TOLERANCE, distance, rewrite
from undertow.artifact.faster.selection import faster_selection

Made = tuple[Any, list[Any]]
"""A model, and inputs for it: windows of other lengths, and some of one length."""


def make_dataset(reals: Sequence[str] = ("ax", "ay", "gx", "gy"), **settings: Any) -> Any:
    """Return walks in four channels, of one target."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(4 * 40, 4)).cumsum(axis=0) * 0.3, columns=["ax", "ay", "gx", "gy"])
    frame["t"] = np.tile(np.arange(40), 4)
    frame["recording"] = np.repeat(["r0", "r1", "r2", "r3"], 40)
    frame["place"] = np.repeat(["a", "b", "a", "b"], 40)
    frame["mode"] = np.where(frame["gy"] > 0, "run", "rest").astype(object)
    return TimeSeriesDataSet(
        frame,
        **{
            "time_idx": "t",
            "target": "ax",
            "group_ids": ["recording"],
            "min_encoder_length": 4,
            "max_encoder_length": 12,
            "max_prediction_length": 3,
            "time_varying_unknown_reals": list(reals),
            **settings,
        },
    )


ONE_LENGTH = {"min_encoder_length": 12, "add_encoder_length": False}


def inputs_of(dataset: Any) -> list[Any]:
    x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=64, num_workers=0)))
    return [take(x, torch.arange(20, 40)), take(x, torch.arange(3))]  # the first are of the greatest length


def take(x: Any, rows: Any) -> Any:
    return {
        name: [one[rows] for one in value] if isinstance(value, list | tuple) else value[rows]
        for name, value in x.items()
    }


def randomise(model: Any) -> Any:
    """Give norms, gates and biases other numbers than those at which they do nothing."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def transformer(columns: dict[str, Any] | None = None, **settings: Any) -> Made:
    torch.manual_seed(0)
    dataset = make_dataset(
        **(
            {
                "add_relative_time_idx": True,
                "add_target_scales": True,
                "static_categoricals": ["place"],
                "time_varying_unknown_categoricals": ["mode"],
                "time_varying_known_reals": ["t"],
            }
            if columns is None
            else columns
        )
    )
    given = {"hidden_size": 16, "attention_head_size": 2, "hidden_continuous_size": 4, **settings}
    return randomise(TemporalFusionTransformer.from_dataset(dataset, **given)), inputs_of(dataset)


TRANSFORMERS: dict[str, Callable[[], Made]] = {
    "of reals and categories": transformer,
    "of reals alone": lambda: transformer(columns={"time_varying_known_reals": ["t"]}),
    "with channels as wide as the model": lambda: transformer(hidden_continuous_size=16),
    "with channels of several widths": lambda: transformer(hidden_continuous_sizes={"ax": 3, "ay": 16, "gx": 8}),
    "with shared variables": lambda: transformer(share_single_variable_networks=True),
    "of two layers": lambda: transformer(lstm_layers=2),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_output_of_a_transformer_is_the_same_when_it_runs_to_the_end(name: str) -> None:
    model, inputs = TRANSFORMERS[name]()
    plain = copy.deepcopy(model)
    with torch.inference_mode():
        paths = rewrite(model, [], lambda: [model(x) for x in inputs])
        assert {"encoder_variable_selection", "lstm_encoder", "lstm_decoder", "static_enrichment"} <= set(paths)
        for x in inputs:
            found, expected = model(x), plain(x)
            assert distance(tuple(expected[key] for key in OUTPUTS), tuple(found[key] for key in OUTPUTS)) <= TOLERANCE


OUTPUTS = ("prediction", "encoder_attention", "static_variables", "encoder_variables", "decoder_variables")


def test_one_window_and_thousands_go_through_the_same_rewrites() -> None:
    model, inputs = transformer()
    plain = copy.deepcopy(model)
    with torch.inference_mode():
        rewrite(model, [], lambda: [model(x) for x in inputs])
        for count in (1, 700):  # 700 windows of 12 steps are more than one slice
            x = take(inputs[0], torch.arange(count) % len(inputs[0]["encoder_lengths"]))
            assert distance(plain(x)["prediction"], model(x)["prediction"]) <= TOLERANCE


def test_a_rewritten_selection_is_nearer_to_double_precision_than_the_plain_one() -> None:
    model, inputs = transformer(hidden_size=64, hidden_continuous_size=8)
    exact, plain = copy.deepcopy(model).double(), copy.deepcopy(model)
    seen: list[Any] = []
    handle = plain.encoder_variable_selection.register_forward_pre_hook(lambda _, args: seen.append(args))
    with torch.inference_mode():
        plain(inputs[0])
        handle.remove()
        rewrite(model, [], lambda: [model(x) for x in inputs])
        variables, context = seen[0]
        truth = exact.encoder_variable_selection({k: v.double() for k, v in variables.items()}, context.double())[0]
        errors = [
            float((one.encoder_variable_selection(variables, context)[0] - truth).square().mean().sqrt())
            for one in (model, plain)
        ]
    assert errors[0] < 1.1 * errors[1]


def recurrent(**settings: Any) -> Made:
    dataset = make_dataset(reals=["ax"])
    model = RecurrentNetwork.from_dataset(dataset, hidden_size=8, rnn_layers=2, loss=MAE(), **settings)
    return model.eval(), inputs_of(dataset)


def made(cls: Any, settings: dict[str, Any], **columns: Any) -> Made:
    dataset = make_dataset(**columns)
    return cls.from_dataset(dataset, **settings).eval(), inputs_of(dataset)


@pytest.mark.parametrize(
    ("make", "rewritten"),
    [
        (lambda: recurrent(cell_type="LSTM"), {"rnn"}),
        (lambda: recurrent(cell_type="GRU"), {"rnn"}),
        (lambda: made(DeepAR, {"hidden_size": 6}, reals=["ax"]), {"rnn"}),
        (lambda: made(NHiTS, {"hidden_size": 8}, **ONE_LENGTH), set()),
        (lambda: made(DecoderMLP, {}, time_varying_known_reals=["t"]), set()),
        (lambda: made(NBeats, {}, reals=["ax"], **ONE_LENGTH), set()),
        (
            lambda: made(TiDEModel, {"hidden_size": 8}, reals=["ax"], time_varying_known_reals=["t"], **ONE_LENGTH),
            set(),
        ),
    ],
    ids=["LSTM", "GRU", "DeepAR", "NHiTS", "DecoderMLP", "NBeats", "TiDE"],
)
def test_every_other_model_forecasts_the_same(make: Callable[[], Made], rewritten: set[str]) -> None:
    model, inputs = make()
    plain = copy.deepcopy(model)

    def run(one: Any) -> Sequence[Any]:
        torch.manual_seed(0)  # some forecast by sampling
        return [one(copy.deepcopy(x))["prediction"] for x in inputs]

    with torch.inference_mode():
        assert set(rewrite(model, [], lambda: run(model))) == rewritten
        for expected, found in zip(run(plain), run(model), strict=True):
            assert distance(tuple(expected), tuple(found)) <= TOLERANCE


def test_a_state_that_nothing_reads_lets_windows_of_other_lengths_run_padded() -> None:
    model, _ = recurrent()
    x = torch.randn(150, 7, model.rnn.input_size)  # more than two groups
    lengths = torch.arange(150) % 7 + 1
    with torch.inference_mode():
        expected, _ = copy.deepcopy(model.rnn)(x, lengths=lengths, enforce_sorted=False)
        rewrite(model, [], lambda: model.rnn(x, lengths=lengths, enforce_sorted=False), stateless=["rnn"])
        found, _ = model.rnn(x, lengths=lengths, enforce_sorted=False)
    assert distance(expected, found) <= TOLERANCE


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_packed_windows_run_padded_and_come_back_packed(cls: Any, is_sorted: bool) -> None:
    lengths = torch.tensor([7, 6, 3, 2, 1] if is_sorted else [3, 7, 1, 6, 2])
    packed = pack_padded_sequence(torch.randn(5, 7, 3), lengths, batch_first=True, enforce_sorted=is_sorted)
    model = cls(3, 4, num_layers=2, batch_first=True)
    start = torch.randn(2, 5, 4)
    given = (start, start + 1) if cls is nn.LSTM else start
    with torch.inference_mode():
        expected, _ = copy.deepcopy(model)(packed, given)
        assert rewrite(model, [], lambda: model(packed, given), stateless=[""]) == ("",)
        found, _ = model(packed, given)
    assert distance(tuple(expected[:2]), tuple(found[:2])) <= TOLERANCE
    assert found.unsorted_indices is expected.unsorted_indices or torch.equal(*(one[3] for one in (found, expected)))


def test_a_tap_inside_of_a_module_keeps_it_as_it_is_under_any_of_its_names() -> None:
    model, inputs = transformer(share_single_variable_networks=True)
    shared = "decoder_variable_selection.prescalers.relative_time_idx"
    with torch.inference_mode():
        paths = rewrite(model, [shared], lambda: [model(x) for x in inputs])
    assert model.get_submodule(shared) is model.encoder_variable_selection.prescalers["relative_time_idx"]
    assert "encoder_variable_selection" not in paths
    assert "static_variable_selection" in paths


@pytest.mark.parametrize(
    ("faster", "said"),
    [
        (lambda module: lambda *args: module(*args) * (1 + 1e-5), "0 runs as it is, since its faster form differs by"),
        (
            lambda module: lambda *args: module(*args) * torch.nan,
            "0 runs as it is, since its faster form differs by inf",
        ),
        (lambda module: lambda *args: module(*args)[:1], "0 runs as it is, since its faster form differs by inf"),
        (lambda _: lambda *_args: 1 // 0, "a faster form of 0 fails on the sample windows"),
    ],
    ids=["other numbers", "no numbers", "another shape", "an error"],
)
def test_a_faster_form_that_is_not_equal_is_not_used_and_says_so(
    faster: Callable[[nn.Module], Any], said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    x = torch.ones(4, 3)
    expected = model(x)
    original = copy.deepcopy(model[0])
    monkeypatch.setattr(rewriting, "faster_residual", lambda module: faster(original) if module is model[0] else None)
    with caplog.at_level(logging.WARNING):
        assert rewrite(model, [], lambda: model(x)) == ()
    assert said in caplog.text
    assert len(caplog.text.splitlines()) == 1
    assert torch.equal(model(x), expected)


def test_the_first_of_the_forms_that_are_equal_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    x, original = torch.ones(4, 3), copy.deepcopy(model[0])
    expected, called = model(x), []

    def form(module: nn.Module, *, folded_weights: bool = True) -> Callable[..., Any] | None:
        def forward(x: torch.Tensor) -> torch.Tensor:
            called.append(folded_weights)
            result: torch.Tensor = original(x) * (1 + 1e-5 * folded_weights)
            return result

        return forward if module is model[0] else None

    monkeypatch.setattr(rewriting, "faster_selection", form)
    assert rewrite(model, [], lambda: model(x)) == ("0",)
    called.clear()
    assert torch.equal(model(x), expected)
    assert called == [False]


def test_a_selection_with_weights_of_its_own_gives_them_bit_for_bit() -> None:
    model, inputs = transformer()
    module = model.encoder_variable_selection
    calls: list[Any] = []
    module.register_forward_hook(lambda _, args, given, output: calls.append((args, given, output)), with_kwargs=True)
    with torch.inference_mode():
        model(inputs[0])
        [(args, given, expected)] = calls
        found = faster_selection(module, folded_weights=False)(*args, **given)
    assert torch.equal(found[1], expected[1])
    assert distance(expected[0], found[0]) <= TOLERANCE
