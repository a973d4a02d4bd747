"""With --json, standard output holds JSON or nothing: errors are on standard error, and in the exit code."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.main import main
from undertow.devstack.processes import LOCALHOST, free_port

FAILING = {
    "describe": ["nothing"],
    "status": ["--set=fleet.name=nobody"],
    "get": ["watch", "wearer=me"],
    "neighbours": ["watch", "wearer=me"],
    "settings": ["no.such"],
    "series": ["--set=model.artifact=nothing"],
    "taps": ["train.py"],
    "replay": ["--set=kafka.extra.bootstrap_timeout_ms=50"],
}


def test_each_command_that_prints_json_is_known_here() -> None:
    named = {
        name
        for name, command in main.commands.items()
        if any(parameter.name == "as_json" for parameter in command.params)
    }
    assert named == FAILING.keys()


@pytest.mark.parametrize("command", FAILING)
def test_a_command_that_fails_prints_no_json_and_no_half_of_it(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "train.py").write_text("import torch")
    monkeypatch.setenv("UNDERTOW_KAFKA__BOOTSTRAP", f"{LOCALHOST}:{free_port()}")
    done = CliRunner().invoke(main, [command, "--json", *FAILING[command]])
    assert (done.exit_code, done.stdout) == (2 if command == "settings" else 1, "")
    assert done.stderr.splitlines()[-1].casefold().startswith("error: ")
