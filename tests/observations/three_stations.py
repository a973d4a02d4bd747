"""Three stations, hour by hour, as a data logger writes them: the rows, the settings, a model.

In: a folder. Out: raw rows in local time around the end of summer time, a packed transformer. Knows no test.
"""

import warnings
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer
from pytorch_forecasting.metrics import MAE

import undertow
from tests.packing import pack
from tests.training import quiet_trainer

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


def raw_rows() -> pd.DataFrame:
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


def closed_ends(rows: pd.DataFrame, lateness_us: int) -> dict[str, int]:
    """Return by station the last grid point that a stream of the rows closes, in microseconds."""
    local = rows["measured_at"].dt.tz_localize(ZONE, ambiguous=np.ones(len(rows), bool)).dt.tz_convert("UTC")
    newest = local.dt.as_unit("us").astype("int64").groupby(rows["station"]).max()
    return {str(station): int(end_us) - lateness_us for station, end_us in newest.items()}


def train_artifact(folder: Path) -> Path:
    """Train a small transformer for two batches on weather without holes, and pack it."""
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
