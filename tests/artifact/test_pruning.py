"""What no feature depends on is found, left out and not stored; what only seems so stays."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pytorch_forecasting.models.nn.rnn import LSTM
from torch import Tensor, nn

from tests.packing import pack
from undertow.artifact.faster import prepare
from undertow.artifact.faster.search import find_pruning
from undertow.artifact.faster.skipping import fill, skip
from undertow.artifact.faster.templates import ModuleCall, find_template
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.format.pruning import Pruning
from undertow.artifact.load.loader import load
from undertow.core.errors import Refused
from undertow.core.features import Tap
from undertow.core.taps import Taps

INPUTS = [torch.randn(count, steps, 3, generator=torch.Generator().manual_seed(1)) for count, steps in ((3, 8), (4, 5))]


class Forked(nn.Module):
    """Two branches, of which the `aside` one runs first; how they join is up to the case."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.aside = nn.Linear(3, 4)
        self.main = nn.Linear(3, 4)
        self.end = nn.Linear(4, 2)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        aside = self.aside(x)
        return self.end(self.join(self.main(x), aside))


def prune(model: nn.Module, tap: str, inputs: Any = INPUTS) -> Pruning:
    return find_pruning(model.eval(), [Tap.parse(tap)], inputs, lambda found, _: list(found.values()))


def test_a_branch_that_no_tap_depends_on_never_runs() -> None:
    model = Forked(lambda main, aside: main + 0 * aside[..., :1].shape[0])
    with Taps(model, [Tap(path="end")]) as taps:
        expected = [taps.run(x)[Tap(path="end")] for x in INPUTS]
        pruning = prune(model, "end")
        skip(model, pruning.skipped)
        ran: list[object] = []
        model.aside.register_forward_hook(lambda *_: ran.append(bool(_[2].isnan().all())))
        found = [taps.run(x)[Tap(path="end")] for x in INPUTS]
    assert pruning.skipped == {"aside": {"tensor": [[0, 0], [0, 1], 4]}}
    assert pruning.dropped == ("aside.weight", "aside.bias")
    assert (pruning.parameters, pruning.kept) == (42, 26)
    assert ran == [True, True]  # what stands for its output has no numbers, so that it could not pass unseen
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    "join",
    [
        lambda main, aside: main + aside,
        lambda main, aside: main + aside.detach(),
        lambda main, aside: main * (aside > 0),
        lambda main, aside: main if bool(aside.mean() > 0) else 2 * main,
        lambda main, aside: main[:, [int(aside.sum() * 1000) % 2]],
    ],
    ids=["added", "detached", "compared", "a branch of Python", "an index"],
)
def test_a_branch_that_matters_stays_even_where_the_graph_does_not_show_it(join: Any) -> None:
    torch.manual_seed(0)
    model = Forked(join)
    with torch.no_grad():
        model.aside.bias.add_(-1.0)
    pruning = prune(model, "end")
    assert pruning.skipped == {}
    assert pruning.dropped == ()


def test_weights_that_only_other_windows_may_need_are_kept() -> None:
    class Routed(Forked):
        def forward(self, x: Tensor) -> Tensor:
            return self.end(self.main(x) if x.mean() < 1e6 else self.aside(x))

    assert prune(Routed(lambda main, _: main), "end").dropped == ()


def test_what_lies_behind_the_last_tap_is_dropped_without_being_skipped() -> None:
    pruning = prune(Forked(lambda main, aside: main + aside), "main")
    assert set(pruning.dropped) == {"aside.weight", "aside.bias", "end.weight", "end.bias"}
    assert list(pruning.skipped) == ["aside"]


def test_nothing_is_left_out_of_a_model_whose_graph_cannot_be_followed(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_graph(main: Tensor, _: Tensor) -> Tensor:
        if main.requires_grad:
            message = "for inference only"
            raise RuntimeError(message)
        return main

    pruning = prune(Forked(refuse_graph), "end")
    assert pruning == Pruning(parameters=42, kept=42)
    assert "the model runs with all its parts" in caplog.text


class Recurrent(nn.Module):
    def __init__(self, *, reads_state: bool) -> None:
        super().__init__()
        self.rnn = LSTM(3, 4, batch_first=True)
        self.end = nn.Linear(4, 2)
        self.reads_state = reads_state

    def forward(self, x: Tensor) -> Tensor:
        output, (hidden, _) = self.rnn(x, lengths=torch.full((len(x),), x.shape[1]), enforce_sorted=False)
        return self.end(output + hidden[-1][:, None] if self.reads_state else output)


@pytest.mark.parametrize(
    ("tap", "reads_state", "stateless"),
    [("end", False, ("rnn",)), ("end", True, ()), ("rnn[0]", True, ("rnn",)), ("rnn[1][0]", False, ())],
)
def test_the_state_of_a_recurrent_layer_is_free_only_if_nothing_reads_it(
    tap: str, reads_state: bool, stateless: tuple[str, ...]
) -> None:
    assert prune(Recurrent(reads_state=reads_state), tap).stateless == stateless


def seen(output: Any, *inputs: tuple[int, ...]) -> ModuleCall:
    return ModuleCall(output=output, inputs=inputs)


def test_a_template_follows_the_inputs_through_tuples_lists_and_dicts() -> None:
    calls = [
        seen({"a": (torch.zeros(n, 7), [torch.zeros(t, 2, n)])}, (5,), (n, t)) for n, t in ((3, 8), (4, 8), (3, 5))
    ]
    assert find_template(calls) == {
        "dict": {"a": {"tuple": [{"tensor": [[1, 0], 7]}, {"list": [{"tensor": [[1, 1], 2, [1, 0]]}]}]}}
    }


@pytest.mark.parametrize(
    "outputs",
    [
        [torch.zeros(6), torch.zeros(8)],
        [torch.zeros(3), torch.zeros(4, 1)],
        [torch.zeros(3).long(), torch.zeros(4).long()],
        [(torch.zeros(3),), (torch.zeros(4), torch.zeros(4))],
        [{"a": torch.zeros(3)}, {"b": torch.zeros(4)}],
        [None, None],
    ],
    ids=["not an input's size", "axes", "whole numbers", "length", "keys", "no tensor"],
)
def test_an_output_that_does_not_follow_the_inputs_has_no_template(outputs: list[Any]) -> None:
    assert find_template([seen(output, (count,)) for output, count in zip(outputs, (3, 4), strict=True)]) is None


def test_a_dropped_weight_that_is_used_after_all_gives_no_number() -> None:
    model = nn.Linear(3, 2)
    fill(model, {"bias": torch.zeros(2)}, ["weight"])
    assert model(torch.ones(1, 3)).isnan().all()
    assert model.weight.untyped_storage().nbytes() == 4  # one number, however large the weight


@pytest.mark.parametrize(("weights", "dropped"), [(["bias"], []), (["weight", "bias"], ["other"])])
def test_weights_that_are_neither_there_nor_dropped_are_refused(weights: list[str], dropped: list[str]) -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match=r"Missing key|has no other"):
        fill(model, {name: model.state_dict()[name] for name in weights}, dropped)


def test_an_artifact_that_skips_what_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(Refused, match="skips decoder, which Linear of these libraries does not have"):
        skip(nn.Linear(3, 2), {"decoder": {"tensor": [1]}})


@pytest.fixture(scope="module")
def packed(trained: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned") / "walk"
    pack(trained("tft").checkpoint, folder, name="walk", taps={"hidden": "lstm_encoder:last"}, trust=True)
    return folder


def test_an_artifact_holds_only_the_weights_that_matter(packed: Path, trained: Callable[[str], Any]) -> None:
    pruning = read_manifest(packed).pruning
    weights = safetensors.torch.load_file(packed / "weights.safetensors")
    whole = dict(trained("tft").model.named_parameters())
    assert not any(
        name.startswith(("decoder_variable_selection.flat", "lstm_decoder", "multihead")) for name in weights
    )
    assert pruning.parameters == sum(one.numel() for one in whole.values())
    assert pruning.kept == sum(weights[name].numel() for name in whole if name in weights) < pruning.parameters
    assert Pruning.from_json(json.loads(json.dumps(pruning.to_json()))) == pruning


def test_a_loaded_transformer_is_pruned_and_rewritten_and_gives_the_same(
    packed: Path, trained: Callable[[str], Any], reference: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    embedder = load(packed)
    model: Any = embedder._taps._model  # what is changed in it shows nowhere else
    changed = {path for path, module in model.named_modules() if "forward" in vars(module)}
    assert {"encoder_variable_selection", "lstm_encoder", "static_variable_selection"} <= changed
    assert caplog.text == ""
    expected = reference(trained("tft"), "lstm_encoder")
    found = embedder.embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.last, rtol=0, atol=1e-6 * np.abs(expected.last).max())


def test_rewrites_that_add_up_to_too_much_are_undone(
    packed: Path,
    trained: Callable[[str], Any],
    reference: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(prepare, "MARGIN", -1.0)
    embedder = load(packed)
    model: Any = embedder._taps._model
    (notice,) = caplog.records
    assert "the model runs as it is, since " in notice.getMessage()
    assert "modules rewritten together differ by" in notice.getMessage()
    assert len(notice.getMessage()) < 130
    assert "static_variable_selection, " in vars(notice)["whole"]
    assert {path for path, module in model.named_modules() if "forward" in vars(module)} == {
        *read_manifest(packed).pruning.skipped
    }
    expected = reference(trained("tft"), "lstm_encoder")
    found = embedder.embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.last, rtol=0, atol=1e-6 * np.abs(expected.last).max())


def test_what_only_the_other_steps_of_a_tensor_need_is_left_out(
    trained: Callable[[str], Any], reference: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = pack(
        trained("tft").checkpoint, tmp_path / "walk", name="walk", taps={"hidden": "static_enrichment:last"}, trust=True
    )
    assert {"decoder_variable_selection", "lstm_decoder"} <= set(manifest.pruning.skipped)
    expected = reference(trained("tft"), "static_enrichment")
    found = load(tmp_path / "walk").embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.last, rtol=0, atol=1e-6 * np.abs(expected.last).max())


def test_a_space_does_not_change_with_what_is_left_out(packed: Path) -> None:
    manifest = read_manifest(packed)
    parts: Mapping[str, Any] = manifest.to_json()
    assert "skipped" in parts["pruning"]
    assert "pruning" not in parts["model"]
