"""A real fleet on a real broker and Redis, broken thirteen times: nothing lost, nothing repeated, nothing wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_what_was_killed_stopped_and_refused_has_left_no_trace_in_the_stores():
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.run", "--brief", "--seed", "1"]  # a Ray of its own
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seed 1, 13 faults" in done.stdout
