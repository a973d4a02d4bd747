"""Three stations from raw rows to vectors by a settings file alone: through Kafka, from a file, from a frame."""

import json
import os
import signal
import tomllib
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from kafka import KafkaProducer
from rich.console import Console

import undertow
from tests.fleet.live import running, wait_until, wait_until_kept
from tests.fleet.one_stream import read_to_end
from tests.observations.three_stations import SETTINGS, ZONE, closed_ends, raw_rows, train_artifact
from undertow.adapters.kafka_admin import ensure_topic
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.commands.produce_observed import produce_observations
from undertow.commands.sending import Pace
from undertow.settings.settings import load as load_settings
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

HOUR_US = 3_600_000_000


def in_order(rows: pa.Table) -> tuple[list[tuple[str, int]], np.ndarray]:
    """Return whose windows they are with their ends, and the vectors (n, 8), in order of the former."""
    rows = rows.sort_by([("station", "ascending"), ("event_timestamp", "ascending")])
    keys = zip(rows["station"].to_pylist(), rows["event_timestamp"].cast("int64").to_pylist(), strict=True)
    return list(keys), np.array(rows["hidden"].to_pylist(), np.float32)


def of_the_frame(artifact: Path, rows: pd.DataFrame) -> tuple[list[tuple[str, int]], np.ndarray]:
    """Return the same of the windows of the frame, which take the hour and the weekend from the calendar."""
    with undertow.load(artifact, device="cpu") as embedder:
        made = undertow.windows(rows, embedder, tomllib.loads(SETTINGS)["windows"])
        vectors = embedder.embed(made)["hidden"]
    return list(zip(made.series["station"].tolist(), made.end_us.tolist(), strict=True)), vectors


def closed_rows(keys: list[tuple[str, int]], rows: pd.DataFrame) -> list[int]:
    """Return which windows a stream of the rows has: the newest of each station is still open."""
    ends = closed_ends(rows, HOUR_US)
    return [row for row, (station, end_us) in enumerate(keys) if end_us <= ends[station]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stations' transformer."""
    return train_artifact(tmp_path_factory.mktemp("weather"))


@pytest.mark.timeout(300)
def test_the_stream_the_backfill_and_the_frame_have_the_same_windows_and_vectors(
    artifact, make_place, tmp_path, monkeypatch
):
    place = make_place(artifacts=(artifact,), partitions=3)
    monkeypatch.chdir(tmp_path)
    # An hour of summer time comes twice, so a grid point stays open for an hour.
    (tmp_path / "undertow.toml").write_text(SETTINGS.replace("[windows]", '[windows]\nlateness = "1h"', 1))
    rows, manifest = raw_rows(), read_manifest(artifact)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    kafka = place.settings.kafka.model_copy(update={"content": "observations"})
    settings = place.settings.model_copy(update={"kafka": kafka, "windows": load_settings().windows})

    pace = Pace(per_second=1e9, batch=1, create_partitions=None, clock=lambda: 0.0)
    assert produce_observations(settings, tmp_path / "rows.parquet", Console(quiet=True), pace, manifest.contract)
    counts = read_to_end(stream_recipe(settings))
    assert sum(counts.rejects.values()) == 0
    home = view_folder(settings.offline.path, manifest.view())
    streamed = in_order(read_rows(home))

    (report,) = run_backfill(settings, tmp_path / "rows.parquet", Console(quiet=True))
    assert report.counts.rejects.total == 0
    (job,) = home.glob("@backfill/*")
    backfilled = in_order(read_rows(job))

    keys, vectors = of_the_frame(artifact, rows)
    assert backfilled[0] == keys
    assert len(keys) > 200
    np.testing.assert_allclose(backfilled[1], vectors, rtol=1e-6, atol=1e-6)

    closed = closed_rows(keys, rows)
    assert streamed[0] == [keys[row] for row in closed]
    assert len(closed) == len(keys) - 3  # the newest of each station is still open
    np.testing.assert_allclose(streamed[1], vectors[closed], rtol=1e-6, atol=1e-6)


@pytest.mark.timeout(400)
def test_a_fleet_that_reads_what_is_known_from_a_topic_gives_what_the_calendar_gives(
    artifact, make_place, tmp_path, monkeypatch
):
    """The hours and weekends of the calendar come as another program's topic; a replica is killed between two days."""
    place = make_place(artifacts=(artifact,), partitions=3)
    monkeypatch.chdir(tmp_path)
    spec, calendar = SETTINGS.replace("[windows]", '[windows]\nlateness = "1h"', 1).split("[windows.calendar]")
    assert "is_weekend" in calendar
    (tmp_path / "undertow.toml").write_text(spec + f'known_topic = "{place.settings.kafka.topic}.ahead"\n')
    kafka = place.settings.kafka.model_copy(update={"content": "observations"})
    settings = place.settings.model_copy(update={"kafka": kafka, "windows": load_settings().windows})
    hours = pd.date_range("2026-10-22", "2026-10-28", freq="h", tz="UTC")
    local = hours.tz_convert(ZONE)
    known = [
        {"measured_at": at.isoformat(), "hour": str(there.hour), "weekend": float(there.dayofweek > 4)}
        for at, there in zip(hours, local, strict=True)
    ]
    ensure_topic(settings.kafka, settings.windows.known_topic)
    with closing(KafkaProducer(bootstrap_servers=place.bootstrap)) as producer:
        producer.send(settings.windows.known_topic, json.dumps(known).encode()).get(timeout=20)

    rows = raw_rows()
    begun = rows["measured_at"] < pd.Timestamp("2026-10-25 12:00")
    contract = read_manifest(artifact).contract
    pace = Pace(per_second=1e9, batch=1, create_partitions=None, clock=lambda: 0.0)
    keys, vectors = of_the_frame(artifact, rows)
    closed = closed_rows(keys, rows)
    for name, part in (("first", rows[begun]), ("then", rows[~begun])):
        part.to_parquet(tmp_path / f"{name}.parquet", index=False)
    with running(settings) as fleet:
        assert produce_observations(settings, tmp_path / "first.parquet", Console(quiet=True), pace, contract)
        status = wait_until(fleet, lambda s: s.counts.windows > 50)
        os.kill(status.replicas[0].pid, signal.SIGKILL)
        assert produce_observations(settings, tmp_path / "then.parquet", Console(quiet=True), pace, contract)
        wait_until_kept(fleet, settings, len(closed), lambda s: s.failovers == 1)
    streamed = in_order(read_rows(view_folder(settings.offline.path, read_manifest(artifact).view())))
    assert streamed[0] == [keys[row] for row in closed]
    np.testing.assert_allclose(streamed[1], vectors[closed], rtol=1e-6, atol=1e-6)
