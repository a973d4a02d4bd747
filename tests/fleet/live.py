"""A real fleet in the session's Ray, and what readers see of it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from feast import FeatureStore

from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.fleet.handle import Fleet
from undertow.fleet.launch import start
from undertow.fleet.status import FleetStatus
from undertow.schemas.windows import WindowBatch
from undertow.settings.settings import Settings
from undertow.wiring.root import stream_recipe


def with_fleet(settings: Settings, **changes: object) -> Settings:
    """The same, for a fleet of one replica unless said otherwise."""
    return settings.model_copy(update={"fleet": settings.fleet.model_copy(update={"replicas": 1, **changes})})


@contextlib.contextmanager
def running(settings: Settings, *, force: bool = False) -> Iterator[Fleet]:
    """A fleet in the session's Ray, drained at the end."""
    fleet = start(stream_recipe(settings), force=force)
    try:
        yield fleet
        last = fleet.drain_and_wait(60)
        assert last.state == "drained", last.message
    finally:
        fleet.remove()


def wait_until(fleet: Fleet, holds: Callable[[FleetStatus], bool], timeout_s: float = 120.0) -> FleetStatus:
    """Look at the fleet until it is as it should be: the only clock here is the limit after which the test fails."""
    give_up_at = time.monotonic() + timeout_s
    while not holds(status := fleet.status()):
        assert status.state != "failed", status.message
        assert time.monotonic() < give_up_at, status.to_json()
        time.sleep(0.05)
    return status


def offline_rows(settings: Settings) -> pd.DataFrame:
    """The whole offline log, by event time."""
    table = read_rows(view_folder(settings.offline.path, read_manifest(settings.model.artifact).view()))
    return table.to_pandas().sort_values("event_timestamp", ignore_index=True)


def wait_until_kept(fleet: Fleet, settings: Settings, windows: int, holds: Callable[[FleetStatus], bool]) -> None:
    """Wait until all of a topic is in the log: a lag is as old as what readers were last told of the topic's end."""
    wait_until(fleet, lambda status: holds(status) and status.lag == 0 and len(offline_rows(settings)) >= windows)


def online_rows(settings: Settings, pumps: Sequence[str]) -> np.ndarray:
    """What stock Feast reads online."""
    store = FeatureStore(repo_path=str(settings.feast.repo), fs_yaml_file=settings.feast.repo / settings.feast.config)
    response = store.get_online_features(
        features=store.get_feature_service("pumps"), entity_rows=[{"pump": pump} for pump in pumps]
    )
    return np.array(response.to_dict()["embedding"], np.float32)


def newest_of(windows: WindowBatch) -> pd.Series:
    """The row of each pump's newest window: pumps come in turn, each later than the one before."""
    return pd.Series(np.arange(len(windows)), index=windows.series["pump"]).groupby(level=0).max()


def assert_all_is_there_once(settings: Settings, windows: WindowBatch, reference: np.ndarray) -> None:
    """Each window is one row of the offline log, and online each pump shows its newest; both equal the reference."""
    rows = offline_rows(settings)
    assert rows["event_timestamp"].astype("int64").tolist() == windows.end_us.tolist()
    assert rows["pump"].tolist() == windows.series["pump"].tolist()
    assert not rows.duplicated(["origin_partition", "origin_offset"]).any()
    np.testing.assert_allclose(np.stack(rows["embedding"]), reference, atol=1e-6, rtol=1e-6)
    newest = newest_of(windows)
    np.testing.assert_allclose(online_rows(settings, newest.index), reference[newest], atol=1e-6, rtol=1e-6)
