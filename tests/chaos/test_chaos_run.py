"""A real fleet on a real broker and Redis, broken thirteen times: nothing lost, nothing repeated, nothing wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_what_was_killed_stopped_and_refused_has_left_no_trace_in_the_stores():
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.run", "--brief", "--seed", "1"]  # a Ray of its own
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seed 1, 13 faults" in done.stdout


@pytest.mark.skipif(
    settings.get_current_profile_name() != "long", reason="make test-long: a second world takes half a minute"
)
@pytest.mark.timeout(1200)  # beside others a fleet takes minutes to start
def test_of_raw_observations_too_whatever_becomes_of_snapshots():
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.run", "--brief", "--content", "observations"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seed 1, 6 faults" in done.stdout
