"""A node of Ray is told to go while windows arrive: what the fleet had there is elsewhere before it goes."""

import json
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.fleet.command import running
from tests.fleet.live import assert_all_is_there_once, with_fleet
from tests.fleet.nodes import DRAIN_S, Nodes

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def nodes():
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    nodes = Nodes(folder)
    yield nodes
    nodes.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_node_that_gets_sigterm_goes_when_its_replica_has_handed_over_to_one_elsewhere(
    make_place, make_windows, packed, nodes, tmp_path
):
    windows = make_windows(4_000, pumps=80)
    place = make_place(partitions=4)
    settings = with_fleet(place.settings, replicas=2, address=nodes.address)
    with running(settings, tmp_path / "run") as command:

        def wait_for(holds):
            """Return the first status for which this holds, with the processes that read if all partitions are read."""
            status = {}

            def look():
                said = command.beside("status", "--json")
                if said.startswith("{"):  # there is a fleet
                    status.update(json.loads(said))
                    running = [one for one in status["replicas"] if one["state"] == "running"]
                    is_whole = sum(len(one["partitions"]) for one in running) == 4
                    status["readers"] = {one["pid"] for one in running} if is_whole else set()
                return bool(status) and holds(status)

            command.wait_until(look)
            return status

        (stays,) = wait_for(lambda s: len(s["readers"]) == 1)["readers"]  # the head has no room for a second one
        going = nodes.add()
        (goes,) = wait_for(lambda s: len(s["readers"]) == 2)["readers"] - {stays}
        place.produce(windows.take(np.arange(2_000)), partitions=4)
        wait_for(lambda s: s["windows"] > 500)
        nodes.add()
        going.send_signal(signal.SIGTERM)
        place.produce(windows.take(np.arange(2_000, 4_000)), partitions=4)
        going.wait(DRAIN_S / 2)  # it has not used up its time
        status = wait_for(lambda s: len(s["readers"]) == 2 and s["windows"] == 4_000)
        assert stays in status["readers"]
        assert goes not in status["readers"]
        assert status["failovers"] == 0, "it was buried, and has not left by itself"
        command.send(signal.SIGTERM)
        assert command.end() == 0, command.output()
    assert_all_is_there_once(settings, windows, packed.reference(windows))
