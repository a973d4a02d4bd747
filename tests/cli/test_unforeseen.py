"""Whatever a command raises is one line; of what nobody foresaw, the trace is in a private file."""

import logging
import os
import stat
import tempfile
from urllib.parse import quote

import click
import pytest
from click.testing import CliRunner

from undertow.cli.group import KEPT, TRACES, OneLineGroup, keep_trace
from undertow.cli.main import main
from undertow.core.errors import Refused, Unavailable

pytestmark = pytest.mark.usefixtures("here")


def run(error: BaseException, *, debug: bool = False):
    """Run a command that raises this."""

    @click.group(cls=OneLineGroup)
    @click.pass_context
    def group(ctx):
        ctx.obj = debug

    @group.command()
    def act():
        raise error

    return CliRunner().invoke(group, ["act"])


@pytest.mark.parametrize(
    "error",
    [
        KeyError("name"),
        RecursionError("too deep"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"),
        PermissionError(13, "Permission denied", "/a/\x1b[2J"),
        ValueError("of\ntwo lines \x1b[2J"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_nobody_foresaw_is_one_line_and_its_trace_a_private_file(error):
    result = run(error)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert line.isprintable()
    (trace,) = TRACES.iterdir()
    assert f"its trace is in {trace}" in line
    assert "Traceback (most recent call last)" in trace.read_text()
    assert stat.S_IMODE(trace.stat().st_mode) == 0o600
    assert stat.S_IMODE(TRACES.parent.stat().st_mode) == 0o700


def test_a_command_that_ends_promises_no_other_try():
    said = run(Unavailable("s3://bucket/log could not be read (away): it will be tried again")).output
    assert said == "error: s3://bucket/log could not be read (away): run this again\n"


def test_a_fault_of_the_file_system_names_the_file():
    assert "error: /etc/x: Permission denied" in run(PermissionError(13, "Permission denied", "/etc/x")).output


def test_where_no_temporary_file_can_be_made_that_is_foreseen_and_told_with_what_mends_it(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    with pytest.raises(FileNotFoundError) as raised:
        tempfile.gettempdir()
    (line,) = run(raised.value).output.splitlines()
    assert line.startswith("error: expected a folder for temporary files, but: No usable temporary directory found")
    assert "TMPDIR" in line
    assert not TRACES.exists()


def test_a_missing_file_is_not_taken_for_a_missing_temporary_folder():
    assert "no such key (unforeseen" in run(FileNotFoundError(2, "no such key")).output


def test_debug_shows_the_trace_of_any_error():
    for error in (KeyError("name"), Refused("no such thing")):
        result = run(error, debug=True)
        assert "Traceback" in result.output
        assert result.output.splitlines()[-1].startswith("error: ")


def test_debug_is_an_option_of_undertow_itself(here):
    (here / "undertow.toml").mkdir()
    result = CliRunner().invoke(main, ["--debug", "check"])
    assert result.exit_code == 1
    assert "Traceback" in result.output


def test_what_we_refuse_leaves_no_trace():
    assert run(Refused("expected a\nb")).output == "error: expected a b\n"
    assert not TRACES.exists()


def test_only_the_newest_traces_are_kept(tmp_path):
    for number in range(KEPT + 5):
        (tmp_path / f"2020{number:04d}T000000Z-1.txt").write_text("old")
    kept = keep_trace(ValueError(), tmp_path)
    assert kept in set(tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == KEPT


def test_where_no_file_can_be_written_the_line_says_how_to_see_the_trace(here):
    (here / TRACES.parent).write_text("a file")
    (line,) = run(KeyError("name")).output.splitlines()
    assert line == "error: KeyError: 'name' (unforeseen; undertow --debug COMMAND shows its trace)"


def test_no_secret_of_an_address_is_shown_or_kept():
    result = run(ValueError("at redis://me:hunter2@host, password=hunter3"))
    (trace,) = TRACES.iterdir()
    assert not any(f"hunter{n}" in text for n in (2, 3) for text in (result.output, trace.read_text()))


SECRETS = ["kettle-drum", "violin-o", "oboe-d-amore", "bassoon-key", "p@ss/cello", "trombone-key"]


@pytest.fixture
def settings(here, monkeypatch):
    """Settings in force that hold a secret of each kind, none of which looks like one in a text."""
    (here / "key").write_text(f"{SECRETS[1]}\n")
    (here / "undertow.toml").write_text(
        f'[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nusername = "me"\n'
        f'cert_file = "cert"\nkey_password_file = "{here}/key"\nregistry_credentials = "me:{SECRETS[2]}"\n'
        f'[kafka.extra]\nsome_password = "{SECRETS[3]}"\n[feast]\nrepo = "{here}"\nconfig = "store.yaml"\n'
    )
    (here / "store.yaml").write_text(
        "online_store: {type: redis, connection_string: '${UNDERTOW_REDIS}'}\n"
        f"registry: {{secret_key: {SECRETS[5]}}}\n"
    )
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD", SECRETS[0])
    monkeypatch.setenv("UNDERTOW_REDIS", f"rediss://me:{quote(SECRETS[4], safe='')}@host:6379")
    monkeypatch.setattr(logging.lastResort, "formatter", None)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "kind", [ValueError, Refused, Unavailable, lambda text: PermissionError(13, "no", text), ModuleNotFoundError]
)
def test_no_secret_of_the_settings_is_shown_or_kept_whatever_the_error(kind, debug):
    result = run(kind(f"a client of {' and '.join(SECRETS)}"), debug=debug)
    kept = [trace.read_text() for trace in TRACES.iterdir()] if TRACES.exists() else []
    assert result.exit_code == 1
    assert "a client of ***" in result.output
    assert [one for one in SECRETS if one in "".join([result.output, *kept])] == []


@pytest.mark.usefixtures("settings")
def test_what_a_library_warns_of_shows_no_secret_of_the_settings(capsys):
    run(KeyError("x"))
    record = logging.makeLogRecord({"levelno": 30, "msg": "at %s", "args": (SECRETS,)})
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    shown = capsys.readouterr().err
    assert [one for one in SECRETS if one in shown] == []
    assert "at ['***'" in shown


def test_advice_how_an_address_is_written_is_not_masked():
    assert "redis://user:password@host" in run(Refused("expected redis://user:password@host")).output


def test_ctrl_c_wrong_usage_and_a_closed_pipe_stay_what_they_are():
    assert run(KeyboardInterrupt()).output.strip() == "Aborted!"
    assert run(click.UsageError("no")).exit_code == 2
    assert run(BrokenPipeError(32, os.strerror(32))).output == ""
