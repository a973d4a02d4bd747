"""A real fleet that maintains its own log, and what is left of its maintainer when one of them dies."""

import os
import signal

import numpy as np
import psutil
import pyarrow.dataset as ds
import pytest
import ray
from deltalake import DeltaTable

from tests.fleet.live import running, wait_until, with_fleet
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.fleet.maintainer_actor import NICENESS
from undertow.fleet.ray_maintainer import maintainer_name
from undertow.history.maintaining import maintain_folder

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

WINDOWS, STEPS = 4_000, 4


def maintained(settings, **offline):
    changed = settings.offline.model_copy(update={"grace_seconds": 0.0, **offline})
    return with_fleet(settings.model_copy(update={"offline": changed}))


def controllers():
    """The pids of those in this session's Ray: other sessions on this machine have some, too."""
    family = [one for one in psutil.Process().children(recursive=True) if is_there(one.pid)]
    return {one.pid for one in family if "ray::ControllerActor" in " ".join(one.cmdline())}


def is_there(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def origins(folder):
    """(partition, offset) of every row, by Delta Lake and Arrow alone: of the table, and of the parts behind it."""
    parts = [str(path) for path in folder.rglob("*.parquet") if "@" not in str(path.relative_to(folder))]
    tables = [
        DeltaTable(str(folder / "@table")).to_pyarrow_table(columns=["origin_partition", "origin_offset"]),
        ds.dataset(parts, format="parquet").to_table(["origin_partition", "origin_offset"]),
    ]
    return sorted(pair for one in tables for pair in zip(*(column.to_pylist() for column in one.columns), strict=True))


@pytest.mark.timeout(400)
def test_a_fleet_folds_its_log_though_its_maintainer_and_its_controller_are_killed_and_ends_it_when_drained(
    make_place, make_windows
):
    windows = make_windows(WINDOWS, pumps=40)
    place = make_place(online="sqlite", partitions=4)
    settings = maintained(place.settings, maintain_seconds=0.5)
    others = controllers()
    share = WINDOWS // STEPS

    def produce(step):
        place.produce(windows.take(np.arange(step * share, (step + 1) * share)), partitions=4)

    with running(settings) as fleet:
        produce(0)
        wait_until(fleet, lambda s: s.counts.checkpoints)  # the last part of a chain is not folded: there must be two
        produce(1)
        first = wait_until(fleet, lambda s: s.maintained.rows > 0).maintained
        replicas = [psutil.Process(one.pid).nice() for one in fleet.status().replicas]
        assert psutil.Process(first.pid).nice() == NICENESS >= max(replicas)  # equal where tests have a low priority
        os.kill(first.pid, signal.SIGKILL)
        produce(2)
        second = wait_until(
            fleet, lambda s: s.maintained.rows > first.rows and s.maintained.pid != first.pid
        ).maintained
        process = psutil.Process(second.pid)
        (controller,) = controllers() - others
        os.kill(controller, signal.SIGKILL)
        third = wait_until(fleet, lambda s: s.maintained.runs and s.maintained.pid != second.pid).maintained
        process.wait(60)  # Ray ends a killed actor's process in its own time
        produce(3)
        last = wait_until(fleet, lambda s: s.lag == 0 and s.maintained.rows > third.rows and not s.maintained.fault)
        assert last.failovers == 0
        process = psutil.Process(last.maintained.pid)
    process.wait(60)
    assert maintainer_name(settings.fleet.name) not in ray.util.list_named_actors()

    view = read_manifest(settings.model.artifact).view()
    assert maintain_folder(settings.offline, view).faults == ()
    assert maintain_folder(settings.offline, view).faults == ()  # deletes what the one before noted
    found = origins(view_folder(settings.offline.path, view))
    assert len(found) == len(set(found)) == WINDOWS


def test_a_fleet_with_a_pause_of_0_has_no_maintainer(make_place):
    with running(maintained(make_place(online="sqlite", partitions=1).settings, maintain_seconds=0.0)) as fleet:
        assert wait_until(fleet, lambda s: s.state == "running").maintained is None
