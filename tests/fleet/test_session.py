"""The Ray that a command starts for itself."""

import os
import subprocess
import sys

import pytest

from tests.fleet.command import UNDERTOW
from undertow.core.errors import Refused
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.ray_session.names import _note
from undertow.ray_session.session import join_ray
from undertow.settings.sections import FleetSettings

SCRIPT = """
import os, ray, signal
from undertow.ray_session.session import ray_session
from undertow.settings.sections import FleetSettings
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append("SIGTERM"))
with ray_session(FleetSettings(), replicas=1):
    print(ray.get(ray.remote(lambda: os.nice(0)).remote()))
    signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGTERM)
print(got)
"""


@pytest.mark.ray
def test_workers_get_as_much_of_the_processor_as_other_programs_and_our_callers_keep_their_handler_of_sigterm():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == f"{os.nice(0)}\n{['SIGTERM'] * 2}\n"


def test_what_is_no_address_is_refused_in_a_line():
    command = [UNDERTOW, "status", "--set", "fleet.address=foo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Ray lets us in at 'foo' (fleet.address = 'foo'): Invalid address format")
    assert len(done.stderr.splitlines()) == 1


def test_a_fleet_of_this_machine_that_was_killed_is_told_as_such_and_not_by_the_address_of_its_ray(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # whatever tests before this one have joined
    settings = FleetSettings(name="night")
    with pytest.raises(Refused, match="no fleet named 'night' runs here"):
        join_ray(settings)
    address = f"{LOCALHOST}:{free_port()}"
    _note("night").write_text(address)  # what kill -9 leaves
    with pytest.raises(Refused, match=r"fleet 'night' was killed: .* undertow run starts it again") as killed:
        join_ray(settings)
    assert address not in str(killed.value)
    with pytest.raises(Refused, match=f"no Ray answers at fleet.address = '{address}'"):
        join_ray(FleetSettings(address=address))
