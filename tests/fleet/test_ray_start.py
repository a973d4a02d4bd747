"""What is seen before a Ray of our own starts, and what its start does not say."""

import os
import subprocess
import sys

import pytest

from undertow.core.errors import Refused
from undertow.ray_session.session import ray_session
from undertow.ray_session.start import LONGEST_SOCKET, NOISE, refuse_bad_folder
from undertow.settings.sections import FleetSettings


def folder_of(tmp_path, length):
    """A folder whose path has so many bytes."""
    return tmp_path / ("x" * (length - len(os.fsencode(tmp_path)) - 1))


@pytest.fixture
def no_ray(monkeypatch):
    """As long as no Ray has been started in this process, which tests share."""
    monkeypatch.setattr("undertow.ray_session.session.ray.is_initialized", lambda: False)


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_refused_in_one_line_that_names_the_variable(tmp_path, monkeypatch, name):
    long = folder_of(tmp_path, 97)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, str(long))
    with pytest.raises(Refused) as refusal, ray_session(FleetSettings(), replicas=1):
        pass
    assert f"{name} = {long}" in str(refusal.value)
    assert "RAY_TMPDIR" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_longest_that_is_taken_is_the_longest_that_ray_takes(monkeypatch):
    from ray._private.utils import validate_socket_filepath  # noqa: PLC0415 half a second

    rest = "ray/session_2026-11-28_10-25-06_239358_4194304/sockets/plasma_store"
    monkeypatch.delenv("TMPDIR", raising=False)
    for length, is_taken in ((LONGEST_SOCKET - len(rest) - 1, True), (LONGEST_SOCKET - len(rest), False)):
        folder = "/" + "x" * (length - 1)
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.setattr("pathlib.Path.mkdir", lambda *_, **__: None)
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open(os.devnull, "rb"))  # noqa: PTH123, SIM115
        for judge in (lambda: refuse_bad_folder(4194304), lambda f=folder: validate_socket_filepath(f"{f}/{rest}")):
            if is_taken:
                judge()
            else:
                with pytest.raises((Refused, OSError)):
                    judge()


def test_a_folder_that_cannot_be_written_is_refused_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("a file")
    monkeypatch.setenv("RAY_TMPDIR", "/proc/1/x")
    with pytest.raises(Refused, match="RAY_TMPDIR = /proc/1/x, which cannot be written"):
        refuse_bad_folder(1)


PROGRAM = """
import os, subprocess, sys
from undertow.ray_session.start import without_noise
with without_noise():
    os.write(2, b"[2026] logging.cc:303: %s RAY_BACKEND_LOG_LEVEL to 3\\n" )
    os.write(2, b"what went wrong\\nlast words without an end")
    child = subprocess.Popen(["sleep", "30"])  # it holds our end of the pipe
os.write(2, b"|after\\n")
child.kill()
"""


def test_all_but_one_line_that_is_written_past_every_logger_is_handed_on_in_its_order():
    program = PROGRAM % NOISE.decode()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "what went wrong\nlast words without an end|after\n"


@pytest.mark.usefixtures("no_ray")
def test_a_ray_that_is_not_up_in_time_is_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    def too_slow(**_options):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")  # noqa: TRY002 as Ray

    monkeypatch.setenv("HOME", str(tmp_path))  # where the token is kept
    monkeypatch.setattr("undertow.ray_session.session.ray.init", too_slow)
    with pytest.raises(Refused) as refusal, ray_session(FleetSettings(), replicas=1):
        pass
    said = str(refusal.value)
    assert said.startswith("Ray did not start on this machine; where that is only busy, start again: The current node")
    assert "\n" not in said
