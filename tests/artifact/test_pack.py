"""Packed and loaded models, held against the trained model, a plain hook and pytorch-forecasting's own data loader."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from pytorch_forecasting import TimeSeriesDataSet

from tests.packing import pack
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.core.features import Feature, Tap
from undertow.schemas.contract import IdColumn

Train = Callable[[str], Any]
RECURRENT = "pytorch_forecasting.RecurrentNetwork"
CASES = [
    pytest.param("lstm", "rnn", 1, id="lstm"),
    pytest.param("gru", "rnn", 1, id="gru"),
    pytest.param("deepar", "rnn", 1, id="deepar"),
    pytest.param("tft", "lstm_encoder", 0, id="tft"),
    pytest.param("tft", "encoder_variable_selection", 0, id="tft-variable-selection"),
    pytest.param("lagged-tft", "lstm_encoder", 0, id="tft-of-lagged-columns"),
    pytest.param("lagged-lstm", "rnn", 1, id="lstm-of-lagged-targets"),
]


@pytest.mark.parametrize(("name", "path", "fewer"), CASES)
def test_an_artifact_embeds_as_the_trained_model_does(
    name: str, path: str, fewer: int, trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained(name)
    expected = reference(source, path, fewer)
    assert len(set(expected.windows.lengths.tolist())) > 3
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": f"{path}:last"}, trust=True)
    embedded = load(tmp_path / "a").embed(expected.windows)
    assert embedded.faults == ()
    np.testing.assert_allclose(embedded.embeddings.features["hidden"], expected.last, rtol=0, atol=1e-6)


def test_windows_with_missing_steps_are_embedded_as_the_trained_model_does(
    trained: Train, reference: Any, recordings: pd.DataFrame, tmp_path: Path
) -> None:
    source, missing = trained("gappy-tft"), [3, 4, 12, 17, 26]
    there = recordings[~recordings.t.isin(missing)].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet.from_parameters(source.dataset.get_parameters(), there)
    expected = reference(replace(source, dataset=dataset), "lstm_encoder")
    ends = expected.windows.end_us  # here the time of the decoder's first step
    rows = np.flatnonzero(~np.isin(ends[:, None] + np.arange(-1, 3), missing).any(axis=1))
    windows = expected.windows.take(rows)
    gaps = np.isin(windows.past["t"], missing)
    assert gaps.any()
    hollow = {
        name: np.where(gaps, None if column.dtype == object else np.nan, column)
        for name, column in windows.past.items()
    }
    taps = {"hidden": "lstm_encoder:last"}
    assert pack(source.checkpoint, tmp_path / "a", name="walk", taps=taps, trust=True).contract.allows_gaps
    found = load(tmp_path / "a").embed(replace(windows, past=hollow))
    assert found.faults == ()
    np.testing.assert_allclose(found.embeddings.features["hidden"], expected.last[rows], rtol=0, atol=1e-6)


def test_a_tap_without_steps_needs_the_pooling_none(trained: Train, reference: Any, tmp_path: Path) -> None:
    source, path = trained("nhits"), "model.blocks.0.layers"
    with pytest.raises(Refused, match="without steps that last could pool"):
        pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": f"{path}:last"}, trust=True)
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": f"{path}:none"}, trust=True)
    expected = reference(source, path)
    found = load(tmp_path / "a").embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.last, rtol=0, atol=1e-6)


def test_the_state_of_the_last_layer_is_the_last_valid_step(trained: Train, reference: Any, tmp_path: Path) -> None:
    source = trained("lstm")
    expected = reference(source, "rnn", 1)
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn:last"}, trust=True)
    found = load(tmp_path / "a").embed(expected.windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, expected.output[1][0][-1].numpy(), rtol=0, atol=1e-6)


def test_slices_are_of_each_windows_own_steps(trained: Train, reference: Any, tmp_path: Path) -> None:
    source = trained("lstm")
    expected = reference(source, "rnn", 1)
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn:flatten[-3:]+mean[-8:]"}, trust=True)
    found = load(tmp_path / "a").embed(expected.windows).embeddings.features["hidden"]
    rows = [row[: length - 1].numpy() for row, length in zip(expected.output[0], expected.windows.lengths, strict=True)]
    plain = [np.concatenate([row[-3:].reshape(-1), row[-8:].mean(axis=0)]) for row in rows]
    np.testing.assert_allclose(found, np.stack(plain), rtol=0, atol=1e-6)


def test_several_features_are_packed_with_their_sizes(trained: Train, tmp_path: Path) -> None:
    taps = {"hidden": Feature(tap=Tap(path="rnn"), pool="last+mean+max"), "start": "rnn#0[0]:first"}
    manifest = pack(trained("lstm").checkpoint, tmp_path / "a", name="walk", taps=taps, trust=True)
    assert manifest.view().features == (("hidden", 24), ("start", 8))


def test_what_was_packed_reads_back(trained: Train, tmp_path: Path) -> None:
    manifest = pack(trained("tft").checkpoint, tmp_path / "a", name="walk", taps={"hidden": "lstm_encoder"}, trust=True)
    assert read_manifest(tmp_path / "a") == manifest
    assert manifest.model.cls == "pytorch_forecasting.TemporalFusionTransformer"
    assert manifest.view().view == f"walk__{manifest.space[:8]}"
    assert manifest.view().series == (IdColumn(name="recording", type="string"),)


def test_a_recurrent_network_refuses_windows_of_one_step_which_it_cannot_see(trained: Train, tmp_path: Path) -> None:
    source = trained("short")
    manifest = pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)
    assert (manifest.contract.min_length, manifest.contract.max_length) == (2, 12)


def test_the_same_checkpoint_and_taps_make_the_same_space(trained: Train, tmp_path: Path) -> None:
    def space(folder: str, **changes: Any) -> str:
        settings = {"name": "walk", "taps": {"hidden": "rnn:last"}, "trust": True, **changes}
        return pack(trained("gru").checkpoint, tmp_path / folder, **settings).space

    first = space("a")
    assert space("b", name="other", description="for people") == first
    assert space("d", taps={"hidden": "rnn:mean"}) != first
    assert space("e", taps={"hidden": "rnn[1]:last"}) != first


def test_series_can_be_renamed_where_the_model_does_not_use_them(
    trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained("lstm")
    series = ["wearer", "lap:integer"]
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, series=series, trust=True)
    expected = reference(source, "rnn", 1)
    count = len(expected.windows)
    windows = expected.windows.take(np.arange(count))
    named = type(windows)(
        **{field: getattr(windows, field) for field in ("end_us", "lengths", "past", "future", "static")},
        series={"wearer": np.array(["s08"] * count, object), "lap": np.arange(count)},
    )
    found = load(tmp_path / "a").embed(named).embeddings
    assert list(found.series) == ["wearer", "lap"]
    np.testing.assert_allclose(found.features["hidden"], expected.last, rtol=0, atol=1e-6)


def test_the_class_is_found_or_can_be_named(trained: Train, tmp_path: Path) -> None:
    checkpoint, cls = trained("gru").checkpoint, RECURRENT
    taps = {"hidden": "rnn"}
    assert pack(checkpoint, tmp_path / "a", name="walk", taps=taps, trust=True).model.cls == cls
    assert pack(checkpoint, tmp_path / "b", name="walk", taps=taps, model_class=cls, trust=True).model.cls == cls
    with pytest.raises(Refused, match="the checkpoint does not hold a DeepAR"):
        pack(checkpoint, tmp_path / "c", name="walk", taps=taps, model_class="pytorch_forecasting.DeepAR", trust=True)
    with pytest.raises(Refused, match=r"expected a model class of pytorch_forecasting.RecurrentNetwork"):
        pack(checkpoint, tmp_path / "c", name="walk", taps=taps, model_class="os.system", trust=True)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tft", {"taps": {"hidden": "lstm_encodr"}}, 'no module "lstm_encodr".*closest: "lstm_encoder"'),
        ("tft", {"taps": {"hidden": "prescalers"}}, "prescalers#0 is a module of .* but the forward never calls it"),
        ("lstm", {"taps": {"hidden": "rnn#99"}}, "asks for call 99"),
        ("lstm", {"taps": {"hidden": "rnn:flatten"}}, "pool by last, mean or max"),
        ("lstm", {"taps": {"hidden": "rnn:median"}}, "no pooling 'median'"),
        ("tft", {"taps": {"hidden": "static_context_variable_selection:last"}}, "one vector of"),
        ("lstm", {"taps": {}}, "expected at least one tap"),
        ("lstm", {"name": "My walk"}, "expected the artifact's name in small letters"),
        ("lstm", {"taps": {"a__b": "rnn"}}, "expected the feature's name in small letters"),
    ],
)
def test_what_cannot_be_packed_is_refused_and_nothing_is_written(
    name: str, settings: dict[str, Any], message: str, trained: Train, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=message):
        pack(
            trained(name).checkpoint,
            tmp_path / "a",
            **{"name": "walk", "taps": {"hidden": "rnn"}, "trust": True, **settings},
        )
    assert list(tmp_path.iterdir()) == []


def test_the_call_that_was_taken_is_said_where_nobody_named_one(trained: Train, tmp_path: Path) -> None:
    notes: list[str] = []
    taps = {"hidden": "rnn:last"}
    manifest = pack(
        trained("lstm").checkpoint,
        tmp_path / "a",
        name="walk",
        taps=taps,
        trust=True,
        model_class=RECURRENT,
        note=notes.append,
    )
    assert manifest.description == "RecurrentNetwork, hidden = rnn#0:last"
    shapes = "rnn#0 (3, 11, 8), rnn#1 (3, 1, 8), rnn#2 (3, 1, 8), rnn#3 (3, 1, 8)"
    calls, unseen = notes
    assert calls == f"one forward calls rnn 4 times, and the tap takes call 0; for 3 windows there are {shapes}"
    assert unseen.startswith(
        "the feature hidden (rnn#0) has t-1 steps for the t that the model is given and has not seen"
    )
    notes.clear()
    pack(
        trained("tft").checkpoint,
        tmp_path / "b",
        name="walk",
        taps={"h": "lstm_encoder"},
        trust=True,
        model_class="pytorch_forecasting.TemporalFusionTransformer",
        note=notes.append,
    )
    assert [note for note in notes if "calls" in note] == []  # called once: nothing to say


def test_a_tap_behind_the_models_own_predictions_sees_them_scaled_back_and_forth(
    trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained("lstm")
    windows = reference(source, "rnn", 1).windows
    x, _ = next(iter(source.dataset.to_dataloader(train=False, batch_size=64, num_workers=0)))
    steps: list[Any] = []
    handle = source.model.rnn.register_forward_hook(lambda *args: steps.append(args[2][0]))
    with torch.inference_mode():
        source.model(x)
    handle.remove()
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn#2:last"}, trust=True)
    found = load(tmp_path / "a").embed(windows).embeddings.features["hidden"]
    np.testing.assert_allclose(found, steps[2][:, 0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("more", "threads"), [((), 1), (("--set", "model.threads=2"), 2)])
def test_the_commands_run_a_model_with_as_many_threads_as_a_replica(
    more: tuple[str, ...], threads: int, trained: Train, tmp_path: Path
) -> None:
    checkpoint, options = str(trained("lstm").checkpoint), ("--trust", *more)
    arguments = ("--name", "walk", "--tap", "hidden=rnn:last", "--output", str(tmp_path / "a"))
    commands = (["taps", checkpoint], ["pack", checkpoint, *arguments])
    for command in commands[:threads]:  # packing ends with seconds in a process of its own, so once
        torch.set_num_threads(3)
        done = CliRunner().invoke(main, [*command, *options], catch_exceptions=False)
        assert (done.exit_code, torch.get_num_threads()) == (0, threads), done.output
    assert threads == 1 or "note: one forward calls rnn 4 times, and the tap takes call 0" in done.output


def test_an_artifact_is_never_overwritten(trained: Train, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Refused, match="exists, and an artifact is never overwritten"):
        pack(trained("lstm").checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)


class Poison:
    """What a hostile checkpoint holds: reading it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_checkpoint_is_not_even_opened_without_trust(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"state_dict": Poison(mark)}, tmp_path / "poison.ckpt")
    with pytest.raises(Refused, match=r"reading them runs whatever code .*\(trust=True\)"):
        pack(tmp_path / "poison.ckpt", tmp_path / "a", name="walk", taps={"hidden": "rnn"})
    assert not mark.exists()
    with pytest.raises(Refused, match=r"expected in .* a checkpoint that Trainer.save_checkpoint wrote"):
        pack(tmp_path / "poison.ckpt", tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)
    assert mark.exists()  # the poison is real


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no")
    for file, message in (("text.ckpt", "a checkpoint that .* found a text"), ("none.ckpt", "No such file")):
        with pytest.raises(Refused, match=message):
            pack(tmp_path / file, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)


def test_the_manifest_is_json_without_paths_of_the_machine(trained: Train, tmp_path: Path) -> None:
    source = trained("lstm")
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, trust=True)
    text = (tmp_path / "a" / "manifest.json").read_text()
    assert str(source.checkpoint.parent) not in text
    assert json.loads(text)["format"] == 2
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["manifest.json", "weights.safetensors"]
