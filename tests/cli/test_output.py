"""What a command prints arrives whole, in letters that the terminal has, or the command says that it did not."""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import undertow.cli
from undertow.cli.main import main
from undertow.telemetry.output import MOST_WIDTH, PLAIN, say
from undertow.telemetry.terminal import Terminal

ROOMS = Path(undertow.cli.__path__[0]).parent
UNDERTOW = shutil.which("undertow", path=str(Path(sys.executable).parent)) or ""
WRITTEN = "error: expected standard output to take what the command prints, but: "
TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
FULL = f"{WRITTEN}No space left on device\n"


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell, in which `$0` is the command."""
    return subprocess.run(
        ["/bin/sh", "-c", script, UNDERTOW],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ended(*argv: str) -> int:
    """Run a command in this process as its script does; return the exit code."""
    with pytest.raises(SystemExit) as ending:
        main(list(argv))
    return int(ending.value.code or 0)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["settings"], ["settings", "--json"], ["init", "a"]], ids=" ".join
)
def test_a_full_disk_is_told_in_one_line_and_kept_no_trace_of(argv, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        assert ended(*argv) == 1
    assert capsys.readouterr().err == FULL
    assert not Path(".undertow").exists()


@pytest.mark.usefixtures("here")
def test_of_the_real_command_too_and_nothing_is_added_at_its_end():
    done = shell("$0 --version > /dev/full; echo $?; PYTHONUNBUFFERED=1 $0 settings kafka > /dev/full; echo $?")
    assert (done.stdout, done.stderr) == ("1\n1\n", FULL * 2)


@pytest.mark.usefixtures("here")
def test_a_closed_output_is_told_where_something_would_be_printed_and_never_becomes_a_file():
    done = shell("$0 init a >&-; echo $?; $0 settings >&- <&-; echo $?; $0 no-command >&-; echo $?")
    assert done.stdout == "1\n1\n2\n"
    assert done.stderr.startswith(f"{WRITTEN}it is closed\n" * 2 + "Usage:")
    assert Path("a/undertow.toml").read_text().startswith("# Settings")


@pytest.mark.usefixtures("here")
def test_a_reader_of_a_pipe_that_has_left_is_no_error_to_tell():
    done = shell("for how in --help settings; do { $0 $how; echo $? >&2; } | true; done")
    assert done.stderr in {"1\n1\n", "0\n1\n", "1\n0\n", "0\n0\n"}  # 0 where all was written before it left


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BlockingIOError(11, "not now")])
def test_whatever_keeps_it_from_being_written_is_told(error, monkeypatch, capsys):
    class Failing(io.StringIO):
        def write(self, _text):
            raise error

    monkeypatch.setattr(sys, "stdout", Failing())
    assert ended("settings", "kafka") == 1
    assert capsys.readouterr().err == f"{WRITTEN}{error.strerror}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_what_an_encoding_lacks_has_letters_that_it_has(encoding, monkeypatch):
    sink = io.BytesIO()
    stream = io.TextIOWrapper(sink, encoding=encoding, errors=PLAIN)
    monkeypatch.setattr(sys, "stdout", stream)
    say(f"a · b → c {TIMES} 2 {DASH} …", "\ud800 \U0001f600")
    Terminal().print("─ ≤ ✓")
    shown = sink.getvalue().decode(encoding)
    if encoding == "ascii":
        assert shown == "a | b -> c x 2 - ...\n\\ud800 \\ud83d\\ude00\n- <= ok\n"
    elif encoding == "utf-8":
        assert shown == f"a · b → c {TIMES} 2 {DASH} …\n\\ud800 \U0001f600\n─ ≤ ✓\n"


def test_what_programs_read_stays_json_on_a_terminal_of_ascii():
    sink = io.BytesIO()
    text = json.dumps({"näme": "\U0001f600"}, ensure_ascii=False)
    with io.TextIOWrapper(sink, encoding="ascii", errors=PLAIN, write_through=True) as stream:
        stream.write(text)
        assert json.loads(sink.getvalue()) == {"näme": "\U0001f600"}


def test_every_command_falls_back_alike_on_a_terminal_of_ascii():
    """`main` gives standard output its way to encode before a command runs, so it holds for every one of them."""
    runner = CliRunner(charset="ascii")
    for name in sorted(main.commands):
        assert runner.invoke(main, [name, "--help"]).stdout_bytes.isascii()
    seen = runner.invoke(main, ["settings"])
    assert seen.exit_code == 0
    assert seen.stdout_bytes.isascii()


def test_every_letter_that_our_texts_hold_has_a_plainer_one():
    found = {
        letter
        for path in ROOMS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PLAIN not in path.read_text()
        for letter in node.value
        if not letter.isascii() and letter.isprintable()
    }
    assert found >= {"·"}
    assert "".join(sorted(found)).encode("ascii", PLAIN).decode().count("\\u") == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("columns", ["0", "1", "-5", "abc", "1000000", "²", "9" * 5000, "", None])
def test_whatever_width_the_environment_says_something_is_printed(columns, monkeypatch):
    monkeypatch.delenv("TERM", raising=False)
    done = CliRunner().invoke(main, ["settings", "log_level"], env={"COLUMNS": columns, "LINES": columns})
    assert done.exit_code == 0
    assert "lowest level" in " ".join(done.output.split())
    assert max(map(len, done.output.splitlines())) <= MOST_WIDTH
    assert CliRunner().invoke(main, ["--help"], env={"COLUMNS": columns}).exit_code == 0


@pytest.mark.usefixtures("here")
def test_however_narrow_the_terminal_is_a_setting_is_shown_with_its_value_and_its_origin():
    away = ["--set=kafka.bootstrap=localhost:1", "--set=kafka.extra.bootstrap_timeout_ms=50"]
    seen = CliRunner().invoke(main, ["check", *away], env={"COLUMNS": "1"}).output
    assert re.search(r"│ kafka.topic +│ windows +│ default +│", seen)


def test_lines_of_text_steer_no_terminal(capsys):
    say("\x1b[2J a\nb", "c")
    say("\x07", err=True)
    assert capsys.readouterr() == ("\\x1b[2J a\\nb\nc\n", "\\x07\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["\x1b[2Jpumps", "pumps\x07\u202e", "a\nb"])
def test_a_folder_of_an_odd_name_is_shown_escaped(name):
    done = CliRunner().invoke(main, ["init", name])
    assert done.exit_code == 0
    assert all(line.isprintable() for line in done.output.splitlines())
    assert f"made in {name.encode('unicode_escape').decode()}:" in done.output
    assert Path(name, "undertow.toml").exists()
