"""Hourly weather, from the checkpoint to the table that one trains with: half history, half stream, one join."""

import os
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.fleet import weather
from tests.fleet.one_stream import read_to_end
from tests.packing import pack
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.cli.main import main
from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.wiring.root import stream_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_session"),
]

HOURS = int(os.environ.get("UNDERTOW_TEST_WEATHER_HOURS", "260"))
"""A year are 8760; seconds then become minutes."""
LABELS = 20_000
TAPS = {"encoder": "lstm_encoder:last+mean", "enriched": "static_enrichment:mean", "ahead": "forecast"}


@pytest.fixture
def artifact(tmp_path):
    table = weather.make_table(HOURS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pack(weather.train(table, tmp_path), tmp_path / "weather", name="weather", taps=TAPS, trust=True)
    return tmp_path / "weather", weather.make_windows(table, HOURS)


def make_labels(windows, rows):
    """Rows of somebody who wants to know: any time, to the nanosecond; some stations that are not known, some null."""
    rng = np.random.default_rng(11)
    first, last = windows.end_us.min() - 10**11, windows.end_us.max() + 10**11
    station = np.array([*weather.STATIONS, "oslo", None], object)[rng.choice(5, rows, p=[0.32, 0.32, 0.32, 0.02, 0.02])]
    when = rng.integers(first * 1_000, last * 1_000, rows)
    when[: rows // 4] = rng.choice(windows.end_us, rows // 4) * 1_000  # at a window's own time
    return pd.DataFrame({"label": rng.normal(size=rows), "station": station, "event_timestamp": pd.to_datetime(when)})


@pytest.mark.timeout(1200)
def test_no_label_is_joined_otherwise_than_by_merge_asof(artifact, make_place, tmp_path):
    folder, windows = artifact
    place = make_place(artifacts=(folder,), partitions=3)
    manifest, half = read_manifest(folder), len(windows) // 2
    keys = set(zip(windows.series["station"], windows.end_us.tolist(), strict=True))
    assert 0 < len(windows) - len(keys) <= len(weather.STATIONS)  # of the hour that came twice
    pq.write_table(windows_to_arrow(windows.take(np.arange(half)), manifest.contract), tmp_path / "history.parquet")
    (report,) = run_backfill(place.settings, tmp_path / "history.parquet", Console(quiet=True))
    assert (report.counts.windows, report.counts.rejects.total) == (half, 0)
    stream = windows.take(np.arange(half, len(windows)))
    place.send(encode_json(stream), [weather.STATIONS.index(one) for one in stream.series["station"]])
    assert read_to_end(stream_recipe(place.settings)).windows == len(stream)

    labels = make_labels(windows, LABELS)
    labels.to_parquet(tmp_path / "labels.parquet")
    command = ["join", str(tmp_path / "labels.parquet"), "-o", str(tmp_path / "joined.parquet")]
    command += ["--set", f"offline.path={place.settings.offline.path}", "--set", f"model.artifact={folder}"]
    began = time.monotonic()
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    print(f"{done.output}{len(windows):,} windows, joined in {time.monotonic() - began:.1f} s")

    log = read_rows(view_folder(place.settings.offline.path, manifest.view()))
    assert len(log) == len(windows)
    us = log["event_timestamp"].cast(pa.int64())
    right = pd.DataFrame({"station": log["station"].to_pylist(), "us": us, "place": np.arange(len(log))})
    order = pd.DataFrame({"created": log["created"].cast(pa.int64()), "offset": log["origin_offset"].fill_null(-1)})
    right = right.iloc[np.lexsort([order["offset"], order["created"]])]
    right = right.drop_duplicates(["station", "us"], keep="last").sort_values("us")
    left = labels.assign(row=np.arange(LABELS), us=labels["event_timestamp"].astype("int64") // 1_000)
    expected = pd.merge_asof(left.dropna().sort_values("us"), right, on="us", by="station")
    expected = expected.set_index("row")["place"].reindex(range(LABELS))
    joined = pq.read_table(tmp_path / "joined.parquet")
    assert joined.select(["label", "station", "event_timestamp"]).to_pandas().equals(labels)
    for feature in TAPS:
        vectors, found = log[feature].to_pylist(), joined[feature].to_pylist()
        assert found == [None if np.isnan(one) else vectors[int(one)] for one in expected]
    assert 0.8 < np.mean(joined["found"].to_pylist()) < 0.98
