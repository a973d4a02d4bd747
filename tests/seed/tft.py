"""A TemporalFusionTransformer as pytorch-forecasting trains it: no subclass, no hook of one's own.

PYTHONPATH=tests python -m seed.tft .undertow/seed
"""

import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer
from pytorch_forecasting.metrics import QuantileLoss
from seed.train import make_weather

COLUMNS = ["temperature", "wind", "load"]
TAPS = {"hidden": "lstm_encoder#0:last"}
"""What one forward gives: each entry is a feature of its own, whatever else the model is asked for."""


def make_frame() -> pd.DataFrame:
    """Return three sites' weather."""
    sites = [pd.DataFrame(make_weather(60, seed=site), columns=COLUMNS).assign(site=f"s{site}") for site in range(3)]
    return pd.concat([site.assign(hour=range(len(site))) for site in sites], ignore_index=True)


def train(folder: Path) -> tuple[Any, Any, Path]:
    """Train for a moment; return model, data set and checkpoint."""
    dataset = TimeSeriesDataSet(
        make_frame(),
        time_idx="hour",
        target="load",
        group_ids=["site"],
        min_encoder_length=4,
        max_encoder_length=24,
        max_prediction_length=6,
        time_varying_unknown_reals=COLUMNS,
        target_normalizer=GroupNormalizer(),
        add_relative_time_idx=True,
    )
    lightning.seed_everything(0, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a loss kept twice, a loader without workers
        model = TemporalFusionTransformer.from_dataset(
            dataset, hidden_size=8, attention_head_size=2, hidden_continuous_size=4, loss=QuantileLoss()
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_train_batches=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=32))
    checkpoint = folder / "tft.ckpt"
    trainer.save_checkpoint(checkpoint)
    return model.eval(), dataset, checkpoint


if __name__ == "__main__":
    made = Path(sys.argv[1])
    made.mkdir(parents=True, exist_ok=True)
    print("wrote", train(made)[2])
