"""Every command, whatever it is given, ends in a readable line and exit code 1 or 2, in bounded time, and asks nobody.

The walk is made of what the command line itself says that it takes, so a command or an option that is added is walked
too. Everything runs in this process, against addresses where nothing listens.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from undertow.cli.main import main
from undertow.cli.paths import ExistingPathType, LocalPathType
from undertow.core.errors import Refused
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.settings.settings import Settings, load

FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"
ODD = "[/red]\x1b[2J\u202e\ud800"
TEXTS = ("", " ", ODD, "nan", "-1", "..", "x" * 300, "s3://a/b", "{", "[" * 3000, "a=b", "'", "99999999999999999999")
STRIDE = 1 if settings().max_examples > 1000 else 4
"""The short form gives each option every fourth of these, another beginning with each; `make test-long` all."""
STARTS = frozenset({"up", "down", "demo"})
"""Commands that need nothing: a wrong option of theirs is walked, and nothing else, or they would do their work."""


@dataclasses.dataclass(frozen=True)
class Odd:
    """Files and folders of every kind that a path may lead to."""

    folder: Path

    def make(self) -> "Odd":
        self.folder.mkdir()
        for name, content in {
            "empty": b"",
            "text": b"hello \x1b[2J",
            "zeros": bytes(1000),
            "half.json": b"{",
            "deep.json": b"[" * 200_000,
            "no.parquet": b"PAR1" + bytes(50) + b"PAR1",
            "no.toml": b"a =",
            "other.toml": b"a = 1",
            os.fsdecode(b"[red]\xff\x1b[2J"): b"x",
        }.items():
            (self.folder / name).write_bytes(content)
        (self.folder / "folder").mkdir()
        (self.folder / "loop").symlink_to("loop")
        (self.folder / "dangling").symlink_to("nothing")
        os.mkfifo(self.folder / "pipe")
        return self

    def paths(self) -> list[Path]:
        return [*sorted(self.folder.iterdir()), self.folder / "nothing", Path("/proc/nothing/x"), Path("/dev/null")]


@pytest.fixture(scope="module")
def away() -> list[str]:
    """Settings by which nothing answers, soon."""
    address = f"{LOCALHOST}:{free_port()}"
    return [
        f"--set=kafka.bootstrap={address}",
        "--set=kafka.extra.bootstrap_timeout_ms=50",
        f"--set=fleet.address={address}",
    ]


@pytest.fixture
def odd(here: Path) -> Odd:
    shutil.copytree(FEATURE_REPO, here / "feature_repo", ignore=shutil.ignore_patterns("data", "*.json"))
    return Odd(here / "odd").make()


def run(*argv: str) -> click.testing.Result:
    """Run a command that must end as it should where something is wrong."""
    result = CliRunner().invoke(main, argv, input="")
    told = (argv, result.output[-500:])
    assert result.exception is None or isinstance(result.exception, SystemExit), told
    assert result.exit_code in {1, 2}, told
    assert "Traceback" not in result.output, told
    assert all(line.isprintable() for line in result.output.splitlines()), told
    if result.exit_code == 1 and argv[0] != "check":  # which has a line for each part
        assert sum(line.startswith(("error: ", "Aborted!")) for line in result.output.splitlines()) == 1, told
    return result


def commands() -> list[tuple[str, click.Command]]:
    return sorted(main.commands.items())


def taken(command: click.Command) -> Iterator[tuple[click.Parameter, str]]:
    """Yield what a command takes beside settings, and how it is written: empty for an argument."""
    for parameter in command.params:
        if parameter.name != "overrides" and not getattr(parameter, "is_flag", False):
            yield parameter, "" if isinstance(parameter, click.Argument) else parameter.opts[-1]


def valid(command: click.Command, odd: Odd, without: click.Parameter | None = None) -> list[str]:
    """Return arguments with which a command begins its work."""
    argv = []
    for parameter, written in taken(command):
        if parameter is without or not parameter.required:
            continue
        text = {
            "artifact": "artifact",
            "taps": "rnn:last",
            "keys": "wearer=me",
            "replicas": "1",
            "name": "name",
            "outputs": "out.html",
        }.get(str(parameter.name), str(odd.folder / "text"))
        argv += [f"{written}={text}" if written else text]
    return argv


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_whatever_an_option_or_an_argument_is_given(name, command, odd, away):
    is_slow = name == "pack" and STRIDE > 1  # it begins by starting a process
    step = STRIDE * 3 if is_slow else STRIDE
    for number, (parameter, written) in enumerate([*taken(command)][:: 3 if is_slow else 1]):
        paths = isinstance(parameter.type, ExistingPathType | LocalPathType)
        wrong = [odd.folder / "text", "s3://a/b"]
        given = wrong if name in STARTS else odd.paths() if paths else TEXTS
        for text in map(str, given[number % step :: step]):
            rest = valid(command, odd, parameter)
            run(
                name,
                *(away if name not in STARTS else []),
                *rest,
                *([f"{written}={text}"] if written else ["--", text]),
            )


@pytest.mark.parametrize(
    "wrong",
    [
        "feast.repo={odd}/text",
        "feast.repo={odd}/nothing",
        "feast.config=../odd/half.json",
        "feast.config=../odd/folder",
        "offline.path={odd}/text",
        "model.artifact={odd}/text",
        "model.artifact={odd}/loop",
        "model.artifact={odd}/folder",
        "fleet.address=x",
        "kafka.format=avro-confluent",
        "nothing.here=1",
    ],
)
def test_whatever_a_setting_names(wrong, odd, away):
    for name, command in commands()[:: STRIDE // 2 or 1]:
        if name not in STARTS and any(parameter.name == "overrides" for parameter in command.params):
            run(name, *away, f"--set={wrong.format(odd=odd.folder)}", *valid(command, odd))


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 5}', "[" * 100_000, "\x00"])
def test_whatever_lies_among_the_spaces(content, odd, here, away):
    (here / "feature_repo/spaces").mkdir(exist_ok=True)
    (here / "feature_repo/spaces/bad.json").write_text(content)
    for name in ("apply", "get", "run", "rebuild"):
        run(name, *away, *valid(main.commands[name], odd))


def keys(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of all settings."""
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


values = st.one_of(
    st.sampled_from(TEXTS),
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.booleans().map(json.dumps),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.sampled_from(sorted(keys(Settings().model_dump()))), value=values)
@pytest.mark.usefixtures("here")
def test_whatever_a_setting_is_given_it_is_taken_or_refused_by_its_name(key, value):
    try:
        load([f"{key}={value}"])
    except Refused as refusal:
        said = str(refusal)
    else:
        return
    assert key.split(".")[0] in said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda text: text.encode(errors="replace"))))
def test_whatever_stands_in_undertow_toml(content, here):
    (here / "undertow.toml").write_bytes(content)
    with suppress(Refused):
        load()
