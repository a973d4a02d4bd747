"""Fleets' names on one machine: none is taken twice, and a name leads to the fleet that has taken it."""

import os
import subprocess
import sys

import pytest
from rich.console import Console

from undertow.core.errors import Refused
from undertow.fleet.run import run
from undertow.ray_session.names import announced, announced_address, name_taken
from undertow.settings.sections import FleetSettings
from undertow.settings.settings import Settings

HOLD = """
import sys
from undertow.ray_session.names import name_taken
from undertow.settings.sections import FleetSettings
with name_taken(FleetSettings(name="night")):
    print("taken", flush=True)
    sys.stdin.read()
"""
NIGHT, JOINED = FleetSettings(name="night"), FleetSettings(name="night", address="auto")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "undertow"


def test_a_second_fleet_of_one_name_is_refused_and_told_who_has_it_until_the_first_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "taken\n"
        told = f"'night' runs on this machine already: process {other.pid}, started in {tmp_path}. Drain it first"
        with pytest.raises(Refused, match=told), name_taken(NIGHT):
            pass
        with name_taken(FleetSettings(name="day")), name_taken(JOINED):
            pass
        other.kill()
    for _ in range(2):
        with name_taken(NIGHT):
            pass


def test_a_run_of_a_taken_name_is_refused_before_anything_is_looked_up():
    with name_taken(NIGHT), pytest.raises(Refused, match="a fleet named 'night' runs on this machine already"):
        run(Settings(fleet=NIGHT), Console())


def test_a_fleet_that_is_being_started_is_told_from_none_and_from_one_that_was_killed():
    with announced(NIGHT, "killed:1"), name_taken(NIGHT):
        with pytest.raises(Refused, match=rf"fleet 'night' is being started: process {os.getpid()}, started in /"):
            announced_address("night")
        with announced(NIGHT, "here:2"):
            assert announced_address("night") == "here:2"


def test_a_name_leads_to_the_newest_session_of_a_fleet_that_has_taken_it():
    with pytest.raises(Refused, match="no fleet named 'night' runs here: undertow run starts one"):
        announced_address("night")
    with announced(JOINED, "far:1"):
        assert announced_address("night") == "far:1"
        with name_taken(NIGHT), announced(NIGHT, "here:2"), announced(JOINED, "far:1"):
            assert announced_address("night") == "here:2"
    with pytest.raises(Refused, match="no fleet named 'night'"):
        announced_address("night")


def test_a_cache_that_cannot_be_used_is_named(cache):
    cache.parent.mkdir()
    cache.write_text("a file")
    for use in (name_taken(NIGHT), announced(NIGHT, "here:2")):
        with pytest.raises(Refused, match=r"a folder of ours in the user's cache.*XDG_CACHE_HOME"), use:
            pass
