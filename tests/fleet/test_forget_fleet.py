"""Series are forgotten beside a fleet that goes on: no replica is fenced, no other row is missing, none comes back."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from tests.fleet.live import online_rows, running, wait_until
from tests.s3_server import BUCKET
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.fleet.lease_places import is_alive
from undertow.history.forgetting import Asked, run
from undertow.history.maintaining import maintain_folder

pytestmark = [
    *(pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray),
    pytest.mark.usefixtures("ray_session"),
]

WINDOWS, PUMPS = 3_000, 40
GONE = ("p003", "p017")


def rows_in(folder):
    """Every Parquet file's rows below a folder, by pump, read by Arrow alone."""
    paths = [path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts]
    return sum(
        (Counter(pq.read_table(path, columns=["pump"], partitioning=None)["pump"].to_pylist()) for path in paths),
        Counter(),
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", ["disk", pytest.param("s3", marks=pytest.mark.s3)])
def test_beside_a_running_fleet_and_a_maintainer_two_series_are_gone_and_the_stream_goes_on(
    place, make_place, make_windows, packed, request, tmp_path
):
    log, disk = tmp_path / "offline", tmp_path / "offline"
    if place == "s3":
        log = request.getfixturevalue("store_root")
        disk = request.getfixturevalue("s3").folder / BUCKET / log.key
    windows = make_windows(WINDOWS, pumps=PUMPS)
    stays = np.flatnonzero(~np.isin(windows.series["pump"], GONE))
    half = WINDOWS // 2
    at = make_place(log=log)
    grace = at.settings.offline.model_copy(update={"grace_seconds": 0})
    settings = at.settings.model_copy(update={"offline": grace})
    view = read_manifest(packed.artifact).view()
    said: list[str] = []
    with running(settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 8)
        at.produce(windows.take(np.arange(half)))
        wait_until(fleet, lambda s: s.counts.windows == half and s.lag == 0)
        assert maintain_folder(settings.offline, view).faults == ()
        at.produce(windows.take(stays[stays >= half]))  # nobody sends the two any more
        wait_until(fleet, lambda s: s.counts.windows > half)
        asked = Asked(name="pumps", series=tuple(f"pump={pump}" for pump in GONE), is_sure=True, is_now=True)
        assert run(settings, asked, said.append, None, is_alive=is_alive), said
        assert maintain_folder(settings.offline, view).faults == ()
        wait_until(fleet, lambda s: s.counts.windows == half + int((stays >= half).sum()) and s.lag == 0)
        status = fleet.status()
        assert (status.failovers, status.state) == (0, "running")
    assert maintain_folder(settings.offline, view).faults == ()
    home = disk / view_folder(settings.offline.path, view).name
    expected = Counter(windows.series["pump"][stays].tolist())
    there = rows_in(home)
    assert not {*GONE} & {*there}, said
    assert {pump: there[pump] >= count for pump, count in expected.items()} == dict.fromkeys(expected, True)
    again: list[str] = []
    assert run(settings, asked, again.append, None, is_alive=is_alive)
    assert "no row; 0 of 2 series online" in again[0]
    store = FeatureStore(repo_path=str(settings.feast.repo), fs_yaml_file=settings.feast.repo / settings.feast.config)
    rows = [{"pump": pump} for pump in GONE]
    found = store.get_online_features(features=store.get_feature_service("pumps"), entity_rows=rows).to_dict()
    assert found["embedding"] == [None, None]
    newest = {pump: row for row, pump in enumerate(windows.series["pump"].tolist()) if pump not in GONE}
    reference = packed.reference(windows)
    np.testing.assert_allclose(online_rows(settings, [*newest]), reference[[*newest.values()]], atol=1e-6, rtol=1e-6)
