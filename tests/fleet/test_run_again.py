"""`undertow run` killed and started again: it goes on by itself, whoever has survived."""

import json
import signal
from collections import Counter

import psutil
import pytest
import ray
from kafka import KafkaAdminClient

from tests.fleet.command import running
from tests.fleet.live import with_fleet
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(400)]

PARTITIONS = 2


@pytest.fixture
def place(make_place):
    return make_place(partitions=PARTITIONS)


def add_partitions(place, total):
    admin = KafkaAdminClient(bootstrap_servers=place.bootstrap)
    admin.create_partitions({place.settings.kafka.topic: total})
    admin.close()


def rows(settings):
    """How often each record stands in the offline log, by where it came from."""
    home = view_folder(settings.offline.path, read_manifest(settings.model.artifact).view())
    if not [*home.glob("*/*/*.parquet")]:
        return Counter()
    table = read_rows(home)
    return Counter(zip(table["origin_partition"].to_pylist(), table["origin_offset"].to_pylist(), strict=True))


def is_complete(settings, windows, partitions):
    found = rows(settings)
    return found.total() == windows and len(found) == windows and len({p for p, _ in found}) == partitions


def test_with_a_ray_of_its_own_all_die_together_a_second_fleet_is_refused_and_the_next_run_goes_on(
    place, make_windows, tmp_path
):
    settings = with_fleet(place.settings, look_for_partitions_seconds=1.0)
    place.produce(make_windows(400, pumps=40), partitions=PARTITIONS)
    with running(settings, tmp_path / "first") as first:
        first.wait_until(lambda: is_complete(settings, 400, PARTITIONS))
        said = first.beside("run", "-s", "fleet.name=another")
        assert f"fleet '{settings.fleet.name}' reads this topic under this group already: started on" in said
        assert "--force" in said
        actors = first.die()
        assert len(actors) == 2  # the replica and the controller
        assert psutil.wait_procs(actors, timeout=15)[1] == []
        assert "was killed: nothing of it runs any more" in first.beside("status")
    place.produce(make_windows(200, pumps=40, seed=1), partitions=PARTITIONS)
    with running(settings, tmp_path / "again", "-s", "fleet.look_for_partitions_seconds=1") as again:
        again.wait_until(lambda: is_complete(settings, 600, PARTITIONS))
        add_partitions(place, PARTITIONS + 1)
        place.produce(make_windows(300, pumps=39, seed=2), partitions=PARTITIONS + 1)
        again.wait_until(lambda: is_complete(settings, 900, PARTITIONS + 1))
        again.send(signal.SIGHUP)
        assert again.end() == 0, again.output()


@pytest.mark.usefixtures("ray_session")
def test_in_a_ray_that_it_joined_the_fleet_lives_on_and_the_next_run_attaches_to_it(place, make_windows, tmp_path):
    settings = with_fleet(place.settings, address=ray.get_runtime_context().gcs_address)
    place.produce(make_windows(400, pumps=40), partitions=PARTITIONS)
    with running(settings, tmp_path / "first") as first:
        first.wait_until(lambda: is_complete(settings, 400, PARTITIONS))
        before = json.loads(first.beside("status", "--json"))
        first.die()
        place.produce(make_windows(200, pumps=40, seed=1), partitions=PARTITIONS)
        said = first.beside("run", "-s", "kafka.group=others")
        assert f"kafka.group is '{settings.kafka.group}' there and 'others' here" in said
    with running(settings, tmp_path / "again") as again:
        again.wait_until(lambda: "attached to fleet" in again.output())
        again.wait_until(lambda: is_complete(settings, 600, PARTITIONS))
        after = json.loads(again.beside("status", "--json"))
        assert [one["pid"] for one in after["replicas"]] == [one["pid"] for one in before["replicas"]]
        again.send(signal.SIGTERM)
        assert again.end() == 0, again.output()
    assert is_complete(settings, 600, PARTITIONS)
