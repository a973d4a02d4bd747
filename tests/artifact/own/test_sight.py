"""What taps see: measured by changing inputs, held against gradients, said at `taps` and `pack`, never suggested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.packing import pack
from undertow.artifact.format.manifest import MANIFEST, read_manifest
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.certify.probes import MOST_STEPS, chosen_steps
from undertow.artifact.pack.read.trained import read_trained
from undertow.artifact.pack.survey.points import Survey
from undertow.artifact.pack.survey.survey import survey
from undertow.cli.main import main

NETS = "sightnets"
Describe = Callable[..., Path]
MORE = {"Both": 'lengths = "lengths"'}


def look(path: Path) -> Survey:
    return survey(read_trained(path, trust=True, code=[NETS]))


def words(found: Survey) -> dict[str, list[str]]:
    return {str(p.tap): list(p.sight.words()) for p in found.points() if p.sight is not None}


ALL, END = "past 12/12 steps, newest yes", "past 5/12 steps (steps 8 to 12), newest yes"


@pytest.mark.parametrize(
    ("name", "axes", "tap", "expected"),
    [
        (
            "Both",
            "ntc",
            "rnn#0[0]",
            ["past 12/12 steps, 4 of 8 channels 1, newest yes", ALL],
        ),
        ("Both", "ntc", "deep#0[0]", [ALL, ALL]),
        (
            "Stretched",
            "nct",
            "short#0",
            [END, ALL],
        ),
        ("Stretched", "nct", "long#0", [END, ALL]),
        ("Stretched", "nct", "far#0", ["past 1/12 steps (step 10), newest no"]),
        ("Stretched", "nct", "causal#0", ["past 3/12 steps (steps 8 to 12), newest yes"]),
        ("Blind", "ntc", "constant#0", ["past 0/12 steps, newest no", "past 0/12 steps, newest no"]),
        ("Blind", "ntc", "first#0", ["past 1/12 steps (step 1), newest no"]),
        ("Blind", "ntc", "lagged#0", ["past 11/12 steps (steps 1 to 11), newest no"]),
        # What is 0, or full, where most inputs lie is still seen by one that lies far away; so is what a norm hides
        # where all columns move alike, and what is small beside a constant.
        ("Blind", "ntc", "rectified#0", [ALL]),
        ("Blind", "ntc", "saturated#0", [ALL]),
        ("Blind", "ntc", "normed#0", [ALL]),
        ("Blind", "ntc", "faint#0", [ALL]),
    ],
)
def test_steps_that_change_a_vector_are_told(
    name: str, axes: str, tap: str, expected: list[str], describe: Describe
) -> None:
    found = words(look(describe(name, axes, least=12, most=12, more=MORE.get(name, ""))))[tap]
    for pool, text, line in zip(("last", "mean"), expected, found, strict=False):
        assert line == f"{pool} sees: {text}"


@pytest.mark.parametrize(("name", "axes"), [("Both", "ntc"), ("Stretched", "nct")])
def test_what_is_seen_is_what_a_gradient_reaches(name: str, axes: str, describe: Describe, plain: Any) -> None:
    path = describe(name, axes, least=12, most=12, more=MORE.get(name, ""))
    found = {str(p.tap): p.sight for p in look(path).points()}
    model = plain(path, name)
    outputs: dict[str, Any] = {}
    for key, module in model.named_children():
        module.register_forward_hook(lambda _, __, output, key=key: outputs.update({key: output}))
    x = torch.randn(1, 12, 2, requires_grad=True)
    model(x, torch.tensor([12])) if name == "Both" else model(x.transpose(1, 2))
    for key, output in outputs.items():
        value = torch.nn.utils.rnn.pad_packed_sequence(output[0], batch_first=True)[0] if name == "Both" else output.mT
        sight = found[f"{key}#0[0]" if name == "Both" else f"{key}#0"]
        last = value[:, : min(12, value.shape[1])][0, -1]
        reached = torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0][0].abs().amax(1) > 0 for one in last])
        assert sight is not None
        part = sight.parts[0]
        assert part.seen == int(reached.any(0).sum())
        assert (part.oldest, part.newest) == tuple(reached.any(0).nonzero().flatten()[[0, -1]].add(1).tolist())
        assert part.narrow == int((reached.sum(1) * 4 <= part.seen).sum())


def test_inputs_that_change_nothing_are_told(describe: Describe) -> None:
    found = words(look(describe("Blind", "ntc", least=12, most=12)))
    assert found["column#0"][-1] == "inputs: a; not b"
    assert found["plain#0"][-1] == "inputs: a, b"
    assert found["constant#0"][-1] == "inputs: none; not a, b"


def test_a_model_that_refuses_odd_numbers_is_looked_at_with_usual_ones(describe: Describe) -> None:
    found = words(look(describe("Blind", "ntc", least=12, most=12, limit=5.0)))
    assert found["plain#0"][0] == "last sees: past 12/12 steps, newest yes"
    assert found["rectified#0"][0] == "last sees: past 0/12 steps, newest no"  # which is all that it ever lets through


@given(st.integers(1, 3000))
def test_of_a_long_past_both_ends_and_some_between_are_looked_at(width: int) -> None:
    steps = chosen_steps(width)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1], len(steps)) == (0, width - 1, min(width, MOST_STEPS))


def test_where_last_is_narrow_the_mean_is_suggested(describe: Describe) -> None:
    path = describe("Both", "ntc", most=12, more=MORE["Both"], layers=1)
    assert str(look(path).suggestion) == "deep#0[0]:mean"
    shown = CliRunner().invoke(main, ["taps", str(path), "--code", NETS], env={"COLUMNS": "120"}).output
    assert "4 of 8 channels of last see 1; mean sees 12 in all" in " ".join(shown.replace("│", " ").split())
    assert shown.splitlines()[-1] == "undertow pack MODEL --name NAME --tap hidden=deep:mean"


def test_a_constant_is_never_suggested(datasets: Any, untrained: Any) -> None:
    """NHiTS encodes statics in a layer that is named encoder."""
    from pytorch_forecasting import NHiTS  # noqa: PLC0415 - slow
    from pytorch_forecasting.data import GroupNormalizer  # noqa: PLC0415

    dataset = datasets(
        min_encoder_length=12,
        target="ax",
        time_varying_unknown_reals=["ax", "ay"],
        static_categoricals=["place"],
        target_normalizer=GroupNormalizer(),
    )
    trained = untrained(NHiTS.from_dataset(dataset, hidden_size=8, static_hidden_size=4), dataset)
    found = look(trained.checkpoint)
    assert words(found)["model.blocks.2.static_encoder.encoder#0"] == [
        "sees: past 0/12 steps, newest no",
        "inputs: static place; not ax, ay",
    ]
    assert found.suggestion is not None
    assert "static_encoder" not in found.suggestion.tap.path
    (chosen,) = [p for p in found.points() if p.tap == found.suggestion.tap]
    assert chosen.sight is not None
    assert chosen.sight.inputs == ("ax", "ay", "static place")
    shown = CliRunner().invoke(main, ["taps", str(trained.checkpoint), "--trust"], env={"COLUMNS": "160"}).output
    assert "constant but for static place" in shown


def test_nothing_is_suggested_where_no_layer_has_seen_the_newest_step(trained: Any) -> None:
    checkpoint = str(trained("deepar").checkpoint)
    found = look(Path(checkpoint))
    assert found.suggestion is None
    assert words(found)["rnn#0[0]"][0] == "last sees: past 11/12 steps (steps 1 to 11), newest no"
    shown = CliRunner().invoke(main, ["taps", checkpoint, "--trust"], env={"COLUMNS": "110"}).output
    assert "11/12, newest no" in shown
    assert "nothing is suggested: no layer has seen the newest step of a window" in " ".join(shown.split())


def test_what_a_packed_feature_sees_is_in_its_certificate_and_what_one_may_not_think_is_noted(
    describe: Describe,
) -> None:
    path = describe("Both", "ntc", most=12, more=MORE["Both"])
    notes: list[str] = []
    taps = {"one": "rnn:last+mean", "deep": "deep:last"}
    made = pack(path, path.parent / "a", name="walk", taps=taps, code=[NETS], note=notes.append)
    (said,) = notes
    assert said == (
        "the feature one (rnn#0): 4 of the 8 channels of last have seen 1 of 12 steps, as the backward direction of a "
        "layer has at its last step; mean takes every step of both"
    )
    assert made.certificate is not None
    lines = list(made.certificate.lines())
    assert "    last sees: past 12/12 steps, 4 of 8 channels 1, newest yes" in lines
    assert "    sees: past 12/12 steps, newest yes" in lines
    assert read_manifest(path.parent / "a") == made


@pytest.mark.parametrize(
    ("name", "axes", "tap", "note"),
    [
        (
            "Stretched",
            "nct",
            "short:last+mean",
            "has t-4 steps for the t that the model is given: last sees steps 8",
        ),
        (
            "Stretched",
            "nct",
            "far:last",
            "(those behind the first t are left out) and has not seen the newest step: last sees step 10 of 12",
        ),
        ("Blind", "ntc", "constant:last", "is the same whatever the past of a window holds; it depends on nothing"),
        ("Blind", "ntc", "lagged:mean", "has not seen the newest step: mean sees steps 1 to 11 of 12"),
        ("Blind", "ntc", "column:last", "does not depend on b"),
    ],
)
def test_pack_notes_what_a_vector_has_not_seen(name: str, axes: str, tap: str, note: str, describe: Describe) -> None:
    path = describe(name, axes, least=12, most=12)
    notes: list[str] = []
    pack(path, path.parent / "a", name="walk", taps={"hidden": tap}, code=[NETS], note=notes.append)
    (said,) = notes
    assert note in said


def test_an_axis_is_counted_as_in_the_shape_that_is_shown(describe: Describe) -> None:
    path = describe("Both", "ntc", most=12, more=MORE["Both"])
    notes: list[str] = []
    taps = {"hidden": "rnn[1]:last"}
    made = pack(path, path.parent / "a", name="walk", taps=taps, code=[NETS], note=notes.append)
    assert made.certificate is not None
    assert made.certificate.features[0].hidden == (2, 6, 4)  # directions, windows, channels
    assert "axis 0 is taken for them (from 0, of the shape that the module gives)" in notes[0]


def test_an_artifact_of_before_loads_without_it(describe: Describe) -> None:
    path = describe("Both", "ntc", most=12, more=MORE["Both"])
    pack(path, path.parent / "a", name="walk", taps={"hidden": "deep:last"}, code=[NETS])
    file = path.parent / "a" / MANIFEST
    data = json.loads(file.read_text())
    del data["sha256"], data["certificate"]["features"][0]["sight"]
    file.write_text(json.dumps({**data, "sha256": digest(data)}))
    load(path.parent / "a", code=[NETS]).close()
    certificate = read_manifest(path.parent / "a").certificate
    assert certificate is not None
    assert certificate.features[0].sight is None
