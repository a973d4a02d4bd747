"""Three stations, hour by hour, as they come: from raw rows to a trained model's vectors, by settings alone.

The reference is what one would write by hand in pandas: times, duplicates, holes and windows; then the packed model on
these windows as a table.
"""

import contextlib
import warnings

import lightning
import numpy as np
import pandas as pd
import pytest
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer
from pytorch_forecasting.metrics import MAE

import undertow
from tests.packing import pack
from tests.training import quiet_trainer
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load as load_artifact
from undertow.backfill.chunks import WHOLE, cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.backfill.observed import find_observations
from undertow.backfill.pieces import in_pieces
from undertow.settings.settings import load as load_settings

ZONE = "Europe/Berlin"
LONGEST, SHORTEST, HORIZON, MOST_FILLED = 12, 4, 3, 2
HOURS = [str(hour) for hour in range(24)]
SETTINGS = """
[windows]
every = "1h"
time = "measured_at"
zone = "Europe/Berlin"
fold = "earlier"
fill = "forward"
max_gap = "2h"

[windows.calendar]
hour = "hour"
weekend = "is_weekend"
"""


def raw_rows():
    """Rows in local time around the end of summer time, as a data logger writes them: holes, NaN, an hour twice."""
    rng = np.random.default_rng(8)
    hours = pd.date_range("2026-10-23", "2026-10-27", freq="h", tz="UTC", inclusive="left")
    frames = []
    for number, station in enumerate(["coast", "hill", "valley"]):
        temp = 10 + number + np.sin(np.arange(len(hours)) / 4) + rng.normal(size=len(hours)) / 4
        pressure = 1000 + rng.normal(size=len(hours)).cumsum()
        local = hours.tz_convert(ZONE).tz_localize(None)
        frame = pd.DataFrame({"station": station, "measured_at": local, "temp": temp, "pressure": pressure})
        frame.loc[rng.choice(len(hours), 6, replace=False), "temp"] = np.nan
        kept = np.ones(len(hours), bool)
        kept[rng.choice(len(hours), 8, replace=False)] = False
        kept[60:64] = number != 1  # a hole that is longer than what is filled
        frames.append(frame[kept])
    return pd.concat(frames).sample(frac=1, random_state=2).reset_index(drop=True)


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


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A small transformer, trained for two batches on weather without holes."""
    rng = np.random.default_rng(1)
    steps = np.arange(80)
    frame = pd.concat(
        pd.DataFrame(
            {
                "station": station,
                "step": steps,
                "temp": 10 + np.sin(steps / 4) + rng.normal(size=80) / 4,
                "pressure": 1000 + rng.normal(size=80).cumsum(),
                "hour": [HOURS[step % 24] for step in steps],
                "weekend": (steps // 24 % 7 >= 5) * 1.0,
            }
        )
        for station in ("coast", "hill", "valley")
    )
    folder = tmp_path_factory.mktemp("weather")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.seed_everything(2, verbose=False)
        dataset = TimeSeriesDataSet(
            frame.reset_index(drop=True),
            time_idx="step",
            target="temp",
            group_ids=["station"],
            min_encoder_length=SHORTEST,
            max_encoder_length=LONGEST,
            max_prediction_length=HORIZON,
            static_categoricals=["station"],
            time_varying_known_categoricals=["hour"],
            time_varying_known_reals=["weekend"],
            time_varying_unknown_reals=["temp", "pressure"],
            target_normalizer=GroupNormalizer(groups=["station"]),
        )
        model = TemporalFusionTransformer.from_dataset(dataset, hidden_size=8, hidden_continuous_size=4, loss=MAE())
        trainer = quiet_trainer(max_epochs=1, limit_train_batches=2)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16))
        trainer.save_checkpoint(folder / "model.ckpt")
    pack(
        folder / "model.ckpt",
        folder / "artifact",
        name="weather",
        taps={"hidden": undertow.Feature.parse("lstm_encoder[0]:last")},
        trust=True,
    )
    return folder / "artifact"


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
