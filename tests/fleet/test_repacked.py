"""The same weights packed twice: under another name they are served beside the first, with other ids refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from rich.console import Console

from tests.fleet import quick_feast
from tests.fleet.one_stream import read_to_end
from undertow.adapters.feast_repo import registered
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import LOG_NOTE, VIEW_NOTE, view_folder
from undertow.artifact.format.manifest import MANIFEST, read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.commands import apply as registration
from undertow.core.errors import Refused
from undertow.history.rebuild import run as rebuild
from undertow.schemas.contract import IdColumn
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.wiring import stores
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

PUMPS, SIDES = IdColumn(name="pump", type="string"), IdColumn(name="side", type="string")


def repack(artifact: Path, folder: Path, *, name="pumps", series=(PUMPS,)) -> Path:
    """What `undertow pack` makes of the same checkpoint under another name, or with other ids."""
    shutil.copytree(artifact, folder)
    manifest = read_manifest(folder)
    manifest = replace(manifest, name=name, contract=replace(manifest.contract, series=series))
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json()))
    return folder


@pytest.fixture
def other(packed, tmp_path):
    """The artifact of `packed` under another name: one space, two artifacts."""
    folder = repack(packed.artifact, tmp_path / "other", name="other")
    assert read_manifest(folder).space == read_manifest(packed.artifact).space
    return folder


@pytest.fixture(autouse=True)
def quick_apply(monkeypatch):
    monkeypatch.setattr(stores, "apply", quick_feast.apply)


def changed(settings, section, **values):
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


def assert_served(settings, name, windows, reference, *, online=True):
    """What stock Feast finds under this name: of each window the past, and of each pump the newest online."""
    store = FeatureStore(repo_path=str(settings.feast.repo), fs_yaml_file=settings.feast.repo / settings.feast.config)
    service = store.get_feature_service(name)
    times = pd.to_datetime(windows.end_us, unit="us", utc=True)
    asked = pd.DataFrame({"pump": windows.series["pump"], "event_timestamp": times})
    past = store.get_historical_features(asked, service).to_df().sort_values("event_timestamp")
    np.testing.assert_allclose(np.stack(past["embedding"]), reference, atol=1e-6, rtol=1e-6)
    newest = {pump: row for row, pump in enumerate(windows.series["pump"])}
    rows = [{"pump": pump} for pump in newest]
    found = store.get_online_features(service, entity_rows=rows).to_dict()["embedding"]
    if online:
        np.testing.assert_allclose(np.array(found), reference[[*newest.values()]], atol=1e-6, rtol=1e-6)
    else:
        assert found == [None] * len(newest)


def test_under_another_name_all_is_embedded_again_though_the_group_is_the_same(make_place, make_windows, packed, other):
    windows = make_windows(30, pumps=3)
    reference = packed.reference(windows)
    place = make_place(partitions=2)
    place.produce(windows, partitions=2)
    assert read_to_end(stream_recipe(place.settings)).windows == 30
    second = changed(place.settings, "model", artifact=other)
    with pytest.raises(Refused, match=r"knows no view other__.*; run: undertow apply"):
        stream_recipe(second)
    stores.apply_artifact(second)
    assert read_to_end(stream_recipe(second)).windows == 30
    for settings, name in ((place.settings, "pumps"), (second, "other")):
        assert read_to_end(stream_recipe(settings)).windows == 0
        assert_served(settings, name, windows, reference)


def test_other_ids_under_the_same_name_are_refused_by_every_command_and_the_first_goes_on(
    make_place, make_windows, packed, tmp_path
):
    windows = make_windows(12, pumps=3)
    place = make_place(partitions=1)
    place.produce(windows, partitions=1)
    assert read_to_end(stream_recipe(place.settings)).windows == 12
    both = changed(place.settings, "model", artifact=repack(packed.artifact, tmp_path / "both", series=(PUMPS, SIDES)))
    for start in (
        stores.apply_artifact,
        lambda settings: registration.apply(settings, say=print),
        stream_recipe,
        lambda settings: run_backfill(settings, tmp_path, Console(quiet=True)),
    ):
        with pytest.raises(
            Refused, match=r"pumps__.* with the ids pump:string, .* has pump:string, side:string: .*--name"
        ):
            start(both)
    assert_served(place.settings, "pumps", windows, packed.reference(windows))


def test_a_log_and_a_registry_of_an_earlier_version_go_on_where_they_were(make_place, make_windows, packed, other):
    windows = make_windows(30, pumps=3)
    place = make_place(partitions=2)
    settings, view = place.settings, read_manifest(packed.artifact).view()
    place.produce(windows.take(np.arange(20)), partitions=2)
    assert read_to_end(stream_recipe(settings)).windows == 20
    root, old = settings.offline.path, settings.offline.path / view.space
    view_folder(root, view).rename(old)
    (old / VIEW_NOTE).unlink()
    (root / LOG_NOTE).unlink()
    ((path, data),) = registered(settings.feast.repo).items()
    path.write_text(json.dumps({**data, "offline": str(old), "log": ""}))
    quick_feast.apply(settings.feast, {view.view: True})

    place.produce(windows.take(np.arange(20, 30)), partitions=2)
    stores.apply_artifact(changed(settings, "model", artifact=other))
    assert read_to_end(stream_recipe(settings)).windows == 10
    stores.apply_artifact(settings)
    assert (view_folder(root, view), len(read_rows(old))) == (old, 30)
    assert_served(settings, "pumps", windows, packed.reference(windows))


@pytest.mark.timeout(300)
def test_one_topic_served_by_two_names_of_one_space_through_a_swap_of_the_store_and_a_rebuild(
    make_place, make_windows, packed, other, tmp_path
):
    """A third is backfilled into SQLite, a third is streamed there, and the rest into Redis."""
    windows = make_windows(300, pumps=6)
    reference = packed.reference(windows)
    history, early, late = (windows.take(np.arange(*span)) for span in ((0, 100), (100, 200), (200, 300)))
    place = make_place(online="sqlite", partitions=2, artifacts=(packed.artifact, other))
    on_sqlite = changed(place.settings, "backfill", replicas=1)
    pq.write_table(windows_to_arrow(history, read_manifest(other).contract), tmp_path / "history.parquet")
    reports = run_backfill(on_sqlite, tmp_path / "history.parquet", Console(quiet=True))
    assert [report.counts.windows for report in reports] == [100, 100]
    place.produce(early, partitions=2)
    assert [read_to_end(stream_recipe(on_sqlite), index).windows for index in range(2)] == [100, 100]
    for name in ("pumps", "other"):
        assert_served(on_sqlite, name, windows.take(np.arange(200)), reference[:200])

    on_redis = changed(on_sqlite, "feast", config="feature_store.redis.yaml")
    config = on_redis.feast.repo / on_redis.feast.config
    config.write_text(config.read_text().replace("project: undertow", f"project: {place.settings.kafka.topic[8:]}_"))
    stores.apply_artifact(on_redis)
    for name in ("pumps", "other"):
        assert_served(on_redis, name, windows.take(np.arange(200)), reference[:200], online=False)
    assert [(done.series, done.written) for done in rebuild(on_redis, Console(quiet=True))] == [(6, 6), (6, 6)]
    for name in ("pumps", "other"):
        assert_served(on_redis, name, windows.take(np.arange(200)), reference[:200])
    place.produce(late, partitions=2)
    assert [read_to_end(stream_recipe(on_redis), index).windows for index in range(2)] == [100, 100]
    for name, artifact in (("pumps", packed.artifact), ("other", other)):
        assert_served(on_redis, name, windows, reference)
        home = view_folder(on_redis.offline.path, read_manifest(artifact).view())
        assert len(read_rows(home)) == 300
