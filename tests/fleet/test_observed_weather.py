"""Three stations from raw rows to vectors by a settings file alone: through Kafka, from a file, from a frame."""

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

import undertow
from tests.fleet.one_stream import read_to_end
from tests.observations.three_stations import SETTINGS, closed_ends, raw_rows, train_artifact
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


@pytest.mark.timeout(300)
def test_the_stream_the_backfill_and_the_frame_have_the_same_windows_and_vectors(make_place, tmp_path, monkeypatch):
    artifact = train_artifact(tmp_path)
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

    with undertow.load(artifact, device="cpu") as embedder:
        made = undertow.windows(rows, embedder)
        vectors = embedder.embed(made)["hidden"]
    keys = list(zip(made.series["station"].tolist(), made.end_us.tolist(), strict=True))
    assert backfilled[0] == keys
    assert len(keys) > 200
    np.testing.assert_allclose(backfilled[1], vectors, rtol=1e-6, atol=1e-6)

    ends = closed_ends(rows, HOUR_US)
    closed = [row for row, (station, end_us) in enumerate(keys) if end_us <= ends[station]]
    assert streamed[0] == [keys[row] for row in closed]
    assert len(closed) == len(keys) - 3  # the newest of each station is still open
    np.testing.assert_allclose(streamed[1], vectors[closed], rtol=1e-6, atol=1e-6)
