"""The dead-letter topic is never taken for that of windows, by no command."""

import pytest
from click.testing import CliRunner

from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.settings.settings import TOML, load

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("overrides", [["kafka.topic=tides.rejects"], ["kafka.dead_letters=", "kafka.topic=a.rejects"]])
def test_a_topic_of_dead_letters_is_not_taken_for_one_of_windows_unless_that_is_said(overrides):
    with pytest.raises(Refused, match="has the name of the dead-letter topic of ") as refused:
        load(overrides)
    assert "undertow replay --send sends dead letters again" in str(refused.value)
    assert load([*overrides, "kafka.dead_letters=elsewhere"]).kafka.topic.endswith(".rejects")


@pytest.mark.parametrize("command", ["produce", "run", "replay", "check"])
@pytest.mark.parametrize("named", ["by default", "by a setting"])
def test_no_command_takes_the_dead_letter_topic_for_that_of_windows(command, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.parquet").write_bytes(b"PAR1")
    if named == "by a setting":
        (tmp_path / TOML).write_text('[kafka]\ndead_letters = "dead"\n')
    topic = "windows.rejects" if named == "by default" else "dead"
    given = ["history.parquet", f"--topic={topic}"] if command == "produce" else [f"--set=kafka.topic={topic}"]
    done = CliRunner().invoke(main, [command, *given])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "dead" in done.stderr
    assert "kafka.topic" in done.stderr
