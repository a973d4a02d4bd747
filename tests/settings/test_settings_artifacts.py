"""How one artifact or several are named."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.settings.settings import TOML, load

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("text", ["folder/a", "2026", "true", "[a]", "a b"])
def test_the_path_of_one_artifact_is_taken_as_it_stands(monkeypatch, text):
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", text)
    model = load().model
    assert (model.artifact, model.artifacts) == (Path(text), (Path(text),))


def test_several_artifacts_are_a_list_in_the_file_in_a_flag_and_in_the_environment(here, monkeypatch):
    (here / TOML).write_text('[model]\nartifact = ["a", "b"]\n')
    assert load().model.artifacts == (Path("a"), Path("b"))
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", '["c", "d", "e"]')
    assert load().model.artifacts == (Path("c"), Path("d"), Path("e"))
    assert load(['model.artifact=["f", "g"]']).model.artifacts == (Path("f"), Path("g"))
    assert load(["model.artifact=f"]).model.artifacts == (Path("f"),)
    assert load(['model.artifact=["f"]']).model.artifact == Path("f")


@pytest.mark.parametrize("text", ["[]", "[1]", "{a = 1}"])
def test_what_is_no_path_is_refused_with_an_example(text):
    with pytest.raises(
        Refused, match=r'model.artifact: expected the folder of an artifact, or several as \["a", "b"\]'
    ):
        load([f"model.artifact={text}"])


@pytest.mark.parametrize(
    "command", [["pack", "m.ckpt", "--name=n", "--tap=x"], ["produce", "."], ["view", "-o", "x.png"]]
)
def test_a_command_that_takes_one_artifact_says_how_to_choose_it(here, command):
    (here / "m.ckpt").touch()
    result = CliRunner().invoke(main, [*command, '--set=model.artifact=["a", "b"]'])
    assert result.exit_code == 1
    assert result.output.startswith("error: this command takes one artifact, and model.artifact names a, b; choose one")
