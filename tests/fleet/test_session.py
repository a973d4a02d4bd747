"""The Ray that a command starts for itself."""

import os
import subprocess
import sys

import pytest

from tests.fleet.command import UNDERTOW

SCRIPT = """
import os, ray
from workers.cluster import ray_session
from workers.sections import FleetSettings
with ray_session(FleetSettings(), replicas=1):
    print(ray.get(ray.remote(lambda: os.nice(0)).remote()))
"""


@pytest.mark.ray
def test_workers_get_as_much_of_the_processor_as_other_programs():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == f"{os.nice(0)}\n"


def test_what_is_no_address_is_refused_in_a_line():
    command = [UNDERTOW, "status", "--set", "fleet.address=foo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Ray lets us in at fleet.address = 'foo': Invalid address format")
    assert len(done.stderr.splitlines()) == 1
