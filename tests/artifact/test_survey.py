"""`undertow taps`: what is listed of a trained model, and what is said of each tap."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from torch import nn

from undertow.artifact.format.recipes import ModelRecipe
from undertow.artifact.pack.read.trained import Trained, read_trained
from undertow.artifact.pack.survey.points import Point, Survey
from undertow.artifact.pack.survey.survey import survey
from undertow.cli.main import main
from undertow.commands.taps import LEGEND, _print
from undertow.core.preprocessing import Preprocessing, Real
from undertow.schemas.contract import Column, IdColumn, InputContract

Train = Callable[[str], Any]
SUGGESTED = {
    # The first call ends before the newest step, which the second one begins with.
    "lstm": "rnn#1[0]",
    "lagged-lstm": "rnn#1[0]",
    "gru": "rnn#1[0]",
    "tft": "lstm_encoder#0[0]",
}


def look(trained: Any) -> Survey:
    return survey(read_trained(trained.checkpoint, trust=True))


def by_tap(found: Survey) -> dict[str, Point]:
    return {str(point.tap): point for point in found.points()}


@pytest.mark.parametrize(("name", "tap"), SUGGESTED.items())
def test_the_recurrent_layer_that_reads_the_window_is_suggested(name: str, tap: str, trained: Train) -> None:
    assert str(look(trained(name)).suggestion) == f"{tap}:auto"


def test_without_steps_the_last_activation_is_suggested(trained: Train) -> None:
    found = look(trained("nhits"))
    assert found.suggestion is not None
    (layer,) = [one for one in found.layers if found.suggestion.tap.path in one.paths]
    assert layer.kind == "ReLU"
    assert found.suggestion.tap.call == 1  # one module serves twice, and its second call is the deeper one


def test_shapes_are_told_by_windows_and_steps(trained: Train) -> None:
    points = by_tap(look(trained("tft")))
    assert points["lstm_encoder#0[0]"].axes == "(n, t, 8)"
    assert points["static_enrichment#0"].axes == "(n, t+D, 8)"
    assert points["pos_wise_ff#0"].axes == "(n, 3, 8)"
    assert points["lstm_encoder#0[1][0]"].axes == "(1, n, 8)"
    assert by_tap(look(trained("deepar")))["rnn#0[0]"].axes == "(n, t-1, 6)"


def test_what_follows_the_window_is_masked_and_what_has_no_windows_is_no_tap(trained: Train) -> None:
    points = by_tap(look(trained("tft")))
    assert points["lstm_encoder#0[0]"].is_masked
    assert not points["pos_wise_ff#0"].is_masked
    gates = [point for tap, point in points.items() if tap.endswith(".gate#0")]
    assert {point.obstacle for point in gates} == {"no axis of windows"}


def test_deeper_taps_cost_more(trained: Train) -> None:
    points = by_tap(look(trained("tft")))
    taps = ["encoder_variable_selection#0[0]", "lstm_encoder#0[0]", "static_enrichment#0", "output_layer#0"]
    costs = [points[tap].reached for tap in taps]
    assert costs == sorted(costs)
    assert 0 < costs[0] < costs[-1] <= 1


class Faulty(nn.Module):
    """Layers that break a promise each, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("good", "mixed", "fickle", "coded"):
            setattr(self, name, nn.Identity())
        self.silent = nn.Linear(1, 1)
        self.calls = 0

    def forward(self, x: dict[str, Any]) -> None:
        values = x["encoder_cont"]
        self.calls += 1
        self.good(values)
        self.mixed(values - values.mean(dim=0))
        self.fickle(values + self.calls)
        self.coded(values.long())


def test_taps_that_break_a_promise_are_listed_with_it() -> None:
    preprocessing = Preprocessing(
        max_encoder_length=6,
        prediction_length=2,
        reals=(Real(name="a", role="unknown"),),
        categoricals=(),
        targets=(),
        several_targets=True,
        groups=(),
        encoders=(),
    )
    model = Faulty().eval()
    found = survey(
        Trained(
            model=model,
            call=model,
            recipe=ModelRecipe(cls="Faulty", hyperparameters={}, targets=(), losses=(), outputs=()),
            preprocessing=preprocessing,
            contract=InputContract(
                series=(IdColumn(name="id", type="string"),), past=(Column(name="a"),), min_length=2, max_length=6
            ),
            digest="0" * 64,
        )
    )
    assert {tap: point.obstacle for tap, point in by_tap(found).items()} == {
        "good#0": None,
        "mixed#0": "depends on the other windows of the batch",
        "fickle#0": "differs from call to call",
        "coded#0": "int64, no numbers to embed",
    }
    assert found.silent == ("silent",)


def test_the_command_shows_a_table_that_names_the_suggestion(trained: Train) -> None:
    result = CliRunner().invoke(main, ["taps", str(trained("lstm").checkpoint), "--trust"], env={"COLUMNS": "110"})
    assert result.exit_code == 0, result.output
    assert "(n, t-1, 8)" in result.output
    assert "12/12, newest yes │ suggested; steps" in result.output
    assert result.output.splitlines()[-1] == "undertow pack MODEL --name NAME --tap hidden=rnn#1"


@pytest.mark.parametrize("width", ["80", "40"])
def test_a_name_is_whole_in_a_line_however_narrow_the_terminal_is(width: str, trained: Train) -> None:
    command = ["taps", str(trained("tft").checkpoint), "--trust"]
    lines = CliRunner().invoke(main, [*command, "--all"], env={"COLUMNS": width}).output.splitlines()
    data = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    names = [tap["tap"].replace("#0", "") for layer in data["layers"] for tap in layer["taps"][:1]]
    assert len(names) > 100
    assert set(names) <= set(lines)


def test_the_command_falls_back_on_a_terminal_of_ascii(trained: Train) -> None:
    result = CliRunner(charset="ascii").invoke(main, ["taps", str(trained("lstm").checkpoint), "--trust"])
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.isascii()
    assert "decoder steps | cost: share" in " ".join(result.stdout.split())


def test_a_large_model_is_shown_in_part_and_in_whole_on_demand(trained: Train) -> None:
    command = ["taps", str(trained("tft").checkpoint), "--trust"]
    short = CliRunner().invoke(main, command, env={"COLUMNS": "110"}).output
    assert "more inside these layers: --all" in short
    assert "gate_norm.glu.fc" not in short
    assert "single_variable_grns" in CliRunner().invoke(main, [*command, "--all"], env={"COLUMNS": "200"}).output


def test_scripts_read_json(trained: Train) -> None:
    result = CliRunner().invoke(main, ["taps", str(trained("gru").checkpoint), "--trust", "--json"])
    data = json.loads(result.stdout)
    assert (data["model"], data["suggestion"]) == ("RecurrentNetwork", "rnn#1[0]")
    (layer,) = [layer for layer in data["layers"] if layer["paths"] == ["rnn"]]
    assert layer["calls"] == 4
    assert layer["taps"][0]["axes"] == "(n, t-1, 8)"


def test_a_checkpoint_is_not_opened_without_trust(trained: Train) -> None:
    result = CliRunner().invoke(main, ["taps", str(trained("gru").checkpoint)])
    assert result.exit_code == 1
    assert "--trust" in result.output


@pytest.mark.parametrize("width", range(70, 100, 3))
def test_nothing_is_cut_whatever_the_width(width: int) -> None:
    rows = [(("rnn[0]", "GRU", "(n, t, 16)", "99%", "24/24, newest yes", "suggested; masked"), "")]
    console = Console(width=width, record=True, file=io.StringIO())
    _print("BiGRU", rows, console)
    text = console.export_text()
    assert set(LEGEND.split()) <= set(text.split())
    assert all(len(line) <= width for line in text.splitlines())
