"""The Ray that a command starts for itself."""

import os
import subprocess
import sys

import pytest

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
