"""The same windows by stream and by backfill: the vectors of pytorch-forecasting, as stock Feast alone reads them."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.fleet.one_stream import read_to_end
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.settings.sections import BackfillSettings
from undertow.wiring.root import stream_recipe
from undertow.wiring.stores import apply_artifact

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

WINDOWS, PUMPS, AGAIN = 2_000, 50, 20
MICROSECOND = pd.Timedelta(microseconds=1)

# Run by a Python that has Feast: reads all pumps online, and the past at the times of the table `asked`.
READER = """
import json, sys
from pathlib import Path
import pandas as pd
from feast import FeatureStore

repo, config, folder = (Path(argument) for argument in sys.argv[1:])
store = FeatureStore(repo_path=str(repo), fs_yaml_file=repo / config)
service, asked = store.get_feature_service("pumps"), pd.read_parquet(folder / "asked.parquet")
rows = [{"pump": pump} for pump in sorted(set(asked["pump"]))]
online = store.get_online_features(service, entity_rows=rows).to_dict()["embedding"]
(folder / "online.json").write_text(json.dumps(online))
store.get_historical_features(asked, service).to_df().to_parquet(folder / "past.parquet")
assert not {name.split(".")[0] for name in sys.modules} & {"undertow"}
"""


def on_sqlite(settings, folder):
    """The same artifact in a Feast repository of its own, with an offline log of its own."""
    repo = shutil.copytree(settings.feast.repo, folder / "feature_repo", ignore=shutil.ignore_patterns("data"))
    feast = settings.feast.model_copy(update={"repo": repo, "config": "feature_store.yaml"})
    offline = settings.offline.model_copy(update={"path": folder / "offline"})
    backfill = BackfillSettings(chunk_rows=300, replicas=1)
    settings = settings.model_copy(update={"feast": feast, "offline": offline, "backfill": backfill})
    apply_artifact(settings)
    return settings


def offline_rows(settings):
    """All rows by event time; of one time, by offset."""
    table = read_rows(view_folder(settings.offline.path, read_manifest(settings.model.artifact).view()))
    return table.to_pandas().sort_values(["event_timestamp", "origin_offset"], ignore_index=True)


def read_alone(settings, asked, folder):
    """What a process that has only Feast finds: online vectors by pump, and the past as it was asked for."""
    folder.mkdir()
    asked.to_parquet(folder / "asked.parquet")
    command = [sys.executable, "-I", "-W", "ignore", "-c", READER, settings.feast.repo, settings.feast.config, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    past = pd.read_parquet(folder / "past.parquet").sort_values("event_timestamp", ignore_index=True)
    return json.loads((folder / "online.json").read_text()), past["embedding"]


def assert_close(found, expected):
    np.testing.assert_allclose(np.array([*found], np.float32), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.timeout(240)
def test_stream_and_backfill_and_pytorch_forecasting_agree_for_readers_that_have_feast_alone(
    make_place, make_windows, packed, tmp_path
):
    windows = make_windows(WINDOWS, pumps=PUMPS)
    reference = packed.reference(windows)
    streamed = make_place(partitions=4)
    twice = np.r_[:AGAIN, WINDOWS - AGAIN : WINDOWS]
    mistaken = replace(windows, past={name: -column for name, column in windows.past.items()})
    streamed.produce(mistaken.take(twice), partitions=4)  # corrected by what comes next, old ones and the newest
    streamed.produce(windows, partitions=4)
    read_to_end(stream_recipe(streamed.settings))

    backfilled = on_sqlite(streamed.settings, tmp_path / "second")
    table = windows_to_arrow(windows, read_manifest(packed.artifact).contract)
    pq.write_table(table.take(np.random.default_rng(4).permutation(WINDOWS)), tmp_path / "history.parquet")
    (report,) = run_backfill(backfilled, tmp_path / "history.parquet", Console(quiet=True))
    assert (report.counts.windows, report.counts.rejects.total, report.chunks) == (WINDOWS, 0, 7)

    each = np.arange(WINDOWS)
    for settings, rows in ((streamed.settings, np.sort([*each, *twice])), (backfilled, each)):
        found = offline_rows(settings)
        is_last = np.append(np.diff(rows) > 0, True)
        assert found["event_timestamp"].astype("int64").tolist() == windows.end_us[rows].tolist()
        assert found["pump"].tolist() == windows.series["pump"][rows].tolist()
        assert_close(found["embedding"][is_last], reference)
        mistakes = zip(found["embedding"][~is_last], reference[rows[~is_last]], strict=True)
        assert all(np.abs(vector - right).max() > 1e-3 for vector, right in mistakes)

    times = pd.to_datetime(windows.end_us, unit="us", utc=True)
    then = pd.DataFrame({"pump": windows.series["pump"], "event_timestamp": times})
    asked = pd.concat([then, then.assign(event_timestamp=times - MICROSECOND)])
    for settings, folder in ((streamed.settings, tmp_path / "redis"), (backfilled, tmp_path / "sqlite")):
        online, past = read_alone(settings, asked, folder)
        assert_close(online, reference[-PUMPS:])
        assert len(past) == 2 * WINDOWS  # one row for each question, also where a window was delivered twice
        just_before, at = past[0::2], past[1::2]
        assert_close(at, reference)
        assert just_before[:PUMPS].isna().all()  # before a pump's first window nothing was known of it
        assert_close(just_before[PUMPS:], reference[:-PUMPS])
