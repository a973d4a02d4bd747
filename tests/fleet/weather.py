"""Hourly weather of three stations, with what such data has: gaps, an hour twice when DST ends, an outlier.

In: hours. Out: the table that one trains with, the windows that one sends, a trained TFT. Knows no test.
"""

import warnings
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer
from pytorch_forecasting.metrics import QuantileLoss

from tests.training import quiet_trainer
from undertow.schemas.windows import WindowBatch

STATIONS, LENGTH, HORIZON = ("bergen", "kiel", "ulm"), 24, 6
UNKNOWN, KNOWN = ("temperature", "humidity", "pressure"), ("hour_sin", "hour_cos", "weekend")
SUMMER = pd.Timestamp("2025-10-21", tz="Europe/Berlin")  # some days before the clocks are set back
OUTLIER = 1_048.0


def make_table(hours: int) -> pd.DataFrame:
    """Return what was measured: one row for each station and hour that is there."""
    rng, when = np.random.default_rng(5), SUMMER + pd.to_timedelta(np.arange(hours), unit="h")
    tables = []
    for number, station in enumerate(STATIONS):
        day = np.sin(2 * np.pi * when.hour.to_numpy() / 24 + number)
        table = pd.DataFrame(
            {
                "station": station,
                "t": np.arange(hours),
                "when": when,
                "temperature": 8 + 5 * day + rng.normal(size=hours),
                "humidity": 70 - 9 * day + rng.normal(size=hours),
                "pressure": 1_013 + rng.normal(size=hours).cumsum() / 9,
                **dict(zip(KNOWN, calendar(when), strict=True)),
            }
        )
        table.loc[rng.random(hours) < 0.1, "humidity"] = np.nan
        table["humidity"] = table["humidity"].ffill().bfill()  # pytorch-forecasting takes none that are missing
        table.loc[hours // 3, "temperature"] = OUTLIER
        begins = rng.integers(LENGTH, hours - LENGTH, 3 + hours // 200)
        missing = {
            hour
            for begin, size in zip(begins, np.resize([2, 3, 6], len(begins)), strict=True)
            for hour in range(begin, begin + size)
        }
        tables.append(table[~table["t"].isin(missing)])
    return pd.concat(tables, ignore_index=True)


def calendar(when: pd.DatetimeIndex) -> tuple[np.ndarray, ...]:
    """Return the known columns at these hours."""
    angle = 2 * np.pi * when.hour.to_numpy() / 24
    return np.sin(angle), np.cos(angle), (when.dayofweek.to_numpy() > 4).astype(float)


def make_windows(table: pd.DataFrame, hours: int) -> WindowBatch:
    """Return a window for each row that has enough before it, in the order of time. `end` is the station's own clock.

    So of the hour that comes twice when the clocks are set back there are two windows, of one event time.
    """
    later = calendar(SUMMER + pd.to_timedelta(np.arange(hours + HORIZON), unit="h"))
    batches = []
    for station, rows in table.groupby("station"):
        whole = rows.set_index("t").reindex(range(hours))[[*UNKNOWN, *KNOWN]].to_numpy()
        is_there = ~np.isnan(whole[:, 0])
        for t in np.flatnonzero(is_there)[LENGTH:].tolist():
            first = t - LENGTH + 1 + int(np.argmax(is_there[t - LENGTH + 1 : t + 1]))
            local = (SUMMER + pd.Timedelta(t, "h")).tz_localize(None)
            columns = dict(zip((*UNKNOWN, *KNOWN), whole[first : t + 1].T, strict=True))
            batches.append(
                (
                    t,
                    WindowBatch(
                        series={"station": np.array([station], object)},
                        end_us=np.array([local.value // 1_000]),
                        lengths=np.array([t + 1 - first]),
                        past=columns,
                        future={
                            name: column[None, t + 1 : t + 1 + HORIZON]
                            for name, column in zip(KNOWN, later, strict=True)
                        },
                        static={"station": np.array([station], object)},
                    ),
                )
            )
    return WindowBatch.concat([batch for _, batch in sorted(batches, key=lambda one: one[0])])


def train(table: pd.DataFrame, folder: Path) -> Path:
    """Train a small TFT for a moment; return its checkpoint."""
    lightning.seed_everything(3, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet(
            table,
            time_idx="t",
            target="temperature",
            group_ids=["station"],
            static_categoricals=["station"],
            time_varying_known_reals=list(KNOWN),
            time_varying_unknown_reals=list(UNKNOWN),
            target_normalizer=GroupNormalizer(groups=["station"]),
            min_encoder_length=4,
            max_encoder_length=LENGTH,
            max_prediction_length=HORIZON,
            add_relative_time_idx=True,
            allow_missing_timesteps=True,
        )
        model = TemporalFusionTransformer.from_dataset(
            dataset, hidden_size=8, attention_head_size=2, hidden_continuous_size=4, loss=QuantileLoss()
        )
        trainer = quiet_trainer(max_steps=3)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=32, num_workers=0))
    trainer.save_checkpoint(folder / "weather.ckpt")
    return folder / "weather.ckpt"
