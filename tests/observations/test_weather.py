"""Three stations, hour by hour, as they come: from raw rows to a trained model's vectors, by settings alone.

The reference is what one would write by hand in pandas: times, duplicates, holes and windows; then the packed model on
these windows as a table.
"""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

import undertow
from tests.observations.three_stations import (
    HORIZON,
    LONGEST,
    MOST_FILLED,
    SETTINGS,
    SHORTEST,
    ZONE,
    closed_ends,
    raw_rows,
    train_artifact,
)
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load as load_artifact
from undertow.backfill.chunks import WHOLE, cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.backfill.observed import find_observations
from undertow.backfill.pieces import in_pieces
from undertow.observations.plan import make_plan
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.records import Partition, Record
from undertow.settings.settings import load as load_settings
from undertow.wiring.observed_source import open_records


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return train_artifact(tmp_path_factory.mktemp("weather"))


def by_hand(rows):
    """Return windows as a flat table, a row each, and whose they are."""
    seen = rows.assign(
        end=rows["measured_at"].dt.tz_localize(ZONE, ambiguous=np.ones(len(rows), bool)).dt.tz_convert("UTC")
    )
    hourly = seen.groupby(["station", "end"])[["temp", "pressure"]].max()  # an hour that is there twice: the greater
    made = []
    for station, mine in hourly.groupby(level="station"):
        observed = mine.droplevel("station")
        grid = observed.reindex(pd.date_range(observed.index[0], observed.index[-1], freq="h"))
        grid = grid.ffill(limit=MOST_FILLED)
        for end in observed.index:
            until = grid[:end].iloc[-LONGEST:]
            holes = np.flatnonzero(until.isna().any(axis=1))
            until = until.iloc[holes[-1] + 1 if len(holes) else 0 :]
            if len(until) >= SHORTEST:
                made.append({"station": station, "end": end, **as_cells(until)})
    return pd.DataFrame(made)


def as_cells(until):
    ahead = pd.date_range(until.index[-1], periods=HORIZON + 1, freq="h")[1:]
    cells = {name: until[name].tolist() for name in ("temp", "pressure")}
    for part, times in (("past", until.index), ("future", ahead)):
        local = times.tz_convert(ZONE)
        cells[f"{part}.hour"] = [str(hour) for hour in local.hour]
        cells[f"{part}.weekend"] = (local.dayofweek >= 5).astype(float).tolist()
    return cells


def test_vectors_are_those_of_windows_cut_by_hand(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undertow.toml").write_text(SETTINGS)
    rows = raw_rows()
    expected = by_hand(rows).sort_values(["station", "end"]).reset_index(drop=True)
    with undertow.load(artifact, device="cpu") as embedder:
        made = undertow.windows(rows, embedder)
        result = embedder.embed(made)
        reference = embedder.embed(expected)
    assert made.faults == ()
    assert made.left_out == {}
    assert reference.faults == result.faults == ()
    assert len(made) == len(expected) > 200
    assert made.series["station"].tolist() == expected["station"].tolist()
    assert made.end_us.tolist() == expected["end"].dt.as_unit("us").astype("int64").tolist()
    np.testing.assert_array_equal(result["hidden"], reference["hidden"])


def test_without_a_word_on_the_doubled_hour_its_rows_are_faults(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undertow.toml").write_text(SETTINGS.replace('fold = "earlier"', ""))
    rows = raw_rows()
    faults = undertow.windows(rows, artifact).faults
    doubled = rows["measured_at"].eq(pd.Timestamp("2026-10-25 02:00"))
    assert [(fault.row, fault.reason) for fault in faults] == [(row, "local-time") for row in np.flatnonzero(doubled)]


def test_a_stream_of_the_rows_has_the_same_windows_to_the_bit(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # An hour of summer time comes twice, so a grid point stays open for an hour.
    (tmp_path / "undertow.toml").write_text(SETTINGS.replace("[windows]", '[windows]\nlateness = "1h"', 1))
    settings, contract, rows = load_settings(), read_manifest(artifact).contract, raw_rows()
    texts = rows.assign(measured_at=rows["measured_at"].dt.strftime("%Y-%m-%dT%H:%M:%S")).sort_values("measured_at")
    values = [json.dumps(row).encode() for row in texts.replace({np.nan: None}).to_dict("records")]
    records = [
        Record(partition=Partition(topic="weather", index=0), offset=offset, appended_us=0, value=value)
        for offset, value in enumerate(values)
    ]
    series = StreamedSeries(make_plan(settings.windows.spec(), contract))
    decode = open_records(settings.kafka, series, lambda _event: None).decode
    streamed = [decode(records[first : first + 7]) for first in range(0, len(records), 7)]
    assert [reject.detail for part in streamed for reject in part.rejects] == []

    made, ends = undertow.windows(rows, artifact), closed_ends(rows, 3_600_000_000)
    stations = made.series["station"]
    closed = np.flatnonzero([end_us <= ends[name] for name, end_us in zip(stations, made.end_us, strict=True)])
    found, expected = {}, {}
    for window in (part.windows.take(np.array([row])) for part in streamed for row in range(len(part.windows))):
        found[window.series["station"][0], int(window.end_us[0])] = window
    for row in closed:
        window = made.take(np.array([row]))
        expected[window.series["station"][0], int(window.end_us[0])] = window
    assert found.keys() == expected.keys()
    assert len(expected) == len(made) - 3 > 200
    for key, window in expected.items():
        for part in ("past", "future", "static"):
            one, other = getattr(found[key], part), getattr(window, part)
            assert {name: column.tolist() for name, column in one.items()} == {
                name: column.tolist() for name, column in other.items()
            }


def test_a_backfill_of_the_rows_writes_the_same_vectors(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undertow.toml").write_text(SETTINGS)
    raw_rows().to_parquet(tmp_path / "rows.parquet", index=False)
    manifest, settings = read_manifest(artifact), load_settings(["backfill.chunk_rows=40"])
    view, contract, rows = manifest.view(), manifest.contract, tmp_path / "rows.parquet"
    recipe = BackfillRecipe(history=rows, contract=contract, view=view, offline=settings.offline, job="rows")
    claim_folder(recipe.offline.path, view)
    embedder, observed = load_artifact(artifact, device="cpu"), find_observations(rows, settings.windows, contract)
    with contextlib.closing(embedder), in_pieces(recipe, observed, settings) as of_pieces:
        chunks = cut(of_pieces.history, None, space=view.space, chunk_rows=WHOLE).chunks
        for chunk in chunks:
            ChunkEmbedder(of_pieces, BackfillTools(embed=embedder.embed)).embed(chunk)
    log = read_rows(recipe.folder).sort_by([("station", "ascending"), ("event_timestamp", "ascending")])
    with undertow.load(artifact, device="cpu") as loaded:
        made = undertow.windows(raw_rows(), loaded)
        stations = made.series["station"]
        each = [loaded.embed(made.take(np.flatnonzero(stations == name)))["hidden"] for name in np.unique(stations)]
    assert len(chunks) == 3
    assert log["station"].to_pylist() == made.series["station"].tolist()
    assert log["event_timestamp"].cast("int64").to_pylist() == made.end_us.tolist()
    np.testing.assert_array_equal(np.array(log["hidden"].to_pylist(), np.float32), np.concatenate(each))
