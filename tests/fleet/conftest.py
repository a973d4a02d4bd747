"""A small real model, packed; and places where fleets run, each with a topic, a Feast repository, an offline log."""

import itertools
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet
from pytorch_forecasting.data import EncoderNormalizer, MultiNormalizer, TorchNormalizer
from pytorch_forecasting.metrics import MAE, MultiLoss

from tests.fleet import quick_feast
from tests.fleet.scripted import Scene
from tests.packing import pack
from tests.training import quiet_trainer
from undertow.adapters.kafka_admin import ensure_topic
from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows import WindowBatch
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.wiring import stores

COLUMNS, SHORTEST, LONGEST, HORIZON = ("flow", "head"), 4, 12, 3
FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A trained model as its user holds it, and the artifact made of its checkpoint."""

    model: Any
    dataset: Any
    artifact: Path

    def reference(self, windows: WindowBatch) -> np.ndarray:
        """Embed by pytorch-forecasting alone: its data set and loader, its unmodified model, a plain hook, numpy.

        Each window becomes a group of its own; the decoder's rows, which the tap does not see, repeat the last step.
        """
        lengths, starts = windows.lengths, windows.starts
        steps = np.concatenate([np.r_[s:e, [e - 1] * HORIZON] for s, e in itertools.pairwise(starts)])
        table = pd.DataFrame({name: windows.past[name][steps] for name in COLUMNS})
        table["recording"] = np.repeat([f"w{n:06d}" for n in range(len(windows))], lengths + HORIZON)
        table["t"] = np.concatenate([np.arange(n) for n in lengths + HORIZON])
        parameters = {**self.dataset.get_parameters(), "categorical_encoders": {}}  # these are other recordings
        dataset = TimeSeriesDataSet.from_parameters(parameters, table, predict=True, stop_randomization=True)
        pooled: list[np.ndarray] = []

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            caught.append(output[0])

        handle = self.model.rnn.register_forward_hook(keep)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for x, _ in dataset.to_dataloader(train=False, batch_size=500, num_workers=0):
                caught: list[Any] = []
                self.model(x)
                # The network predicts each step from the one before, so its encoder sees one step less.
                for row, length in zip(caught[0].numpy(), x["encoder_lengths"].tolist(), strict=True):
                    valid = row[: length - 1]
                    pooled.append(np.concatenate([valid[-1], valid.mean(axis=0), valid.max(axis=0)]))
        handle.remove()
        return np.array(pooled)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A small LSTM that forecasts two channels, trained for a few batches on pumps."""
    lightning.seed_everything(7, verbose=False)
    folder = tmp_path_factory.mktemp("packed")
    walks = np.random.default_rng(1).normal(size=(6, 60, 2)).cumsum(axis=1)
    table = pd.DataFrame(walks.reshape(-1, 2), columns=list(COLUMNS))
    table["recording"], table["t"] = np.repeat([f"r{n}" for n in range(6)], 60), np.tile(np.arange(60), 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet(
            table,
            time_idx="t",
            group_ids=["recording"],
            target=list(COLUMNS),
            time_varying_unknown_reals=list(COLUMNS),
            target_normalizer=MultiNormalizer([TorchNormalizer(), EncoderNormalizer()]),
            min_encoder_length=SHORTEST,
            max_encoder_length=LONGEST,
            max_prediction_length=HORIZON,
        )
        model = RecurrentNetwork.from_dataset(
            dataset, cell_type="LSTM", hidden_size=16, rnn_layers=2, loss=MultiLoss([MAE(), MAE()])
        )
        trainer = quiet_trainer(max_steps=5)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16, num_workers=0))
    trainer.save_checkpoint(folder / "model.ckpt")
    taps = {"embedding": "rnn:last+mean+max"}
    pack(folder / "model.ckpt", folder / "artifact", name="pumps", taps=taps, series=["pump"], trust=True)
    return Packed(model=model.eval(), dataset=dataset, artifact=folder / "artifact")


@pytest.fixture(scope="session")
def make_windows() -> Callable[..., WindowBatch]:
    """Return a function that makes so many windows of so many pumps."""
    return windows_of


def windows_of(count: int, pumps: int, seed: int = 0) -> WindowBatch:
    """Windows of many lengths; pump by pump in turn, each later than the one before."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(SHORTEST, LONGEST + 1, count)
    return WindowBatch(
        series={"pump": np.array([f"p{n % pumps:03d}" for n in range(count)], object)},
        end_us=1_767_225_600_000_000 + np.arange(count) * 1_000_003,
        lengths=lengths,
        past={name: rng.normal(size=int(lengths.sum())) for name in COLUMNS},
        future={},
        static={},
    )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one test's fleet reads and writes."""

    settings: Settings
    bootstrap: str

    def produce(self, windows: WindowBatch, *, partitions: int = 8) -> None:
        """Append windows in their order, each pump to a partition of its own."""
        self.send(encode_json(windows), [int(pump[1:]) % partitions for pump in windows.series["pump"]])

    def send(self, values: Sequence[bytes], partitions: Sequence[int]) -> None:
        """Append records, each to its partition."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        for value, partition in zip(values, partitions, strict=True):
            producer.send(self.settings.kafka.topic, value, partition=partition)
        producer.flush()
        producer.close()

    def dead_letters(self, count: int) -> list[Any]:
        """Read so many rejects back."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(self.settings.kafka.dead_letter_topic, 0)])
        consumer.seek_to_beginning()
        found: list[Any] = []
        while len(found) < count:
            batches = consumer.poll(timeout_ms=30_000)
            assert batches, f"{count - len(found)} rejects are missing"
            found.extend(record for records in batches.values() for record in records)
        consumer.close()
        return found


@pytest.fixture
def make_place(
    packed: Packed,
    kafka_bootstrap: str,
    redis_address: str,
    feast_project: str,
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Place]:
    """Return a function that makes a topic and a Feast repository, and applies the artifacts' views."""
    monkeypatch.setenv("UNDERTOW_REDIS", redis_address)

    def make(
        *,
        online: str = "redis",
        partitions: int = 8,
        topic_config: dict[str, str] | None = None,
        artifacts: Sequence[Path] = (packed.artifact,),
        log: AnyPath = tmp_path / "offline",
    ) -> Place:
        repo = tmp_path / "feature_repo"
        shutil.copytree(FEATURE_REPO, repo, ignore=shutil.ignore_patterns("data", "*.json"))
        config = "feature_store.yaml" if online == "sqlite" else f"feature_store.{online}.yaml"
        text = (repo / config).read_text()
        (repo / config).write_text(text.replace("project: undertow", f"project: {feast_project}"))
        settings = Settings(
            kafka={"bootstrap": kafka_bootstrap, "topic": topic_name, "group": topic_name},
            model={"artifact": artifacts[0] if len(artifacts) == 1 else artifacts},
            feast={"repo": repo, "config": config},
            offline={"path": log, "checkpoint_seconds": 0.5},
            fleet={"name": topic_name, "num_cpus": 1},
        )
        ensure_topic(settings.kafka, topic_name, partitions=partitions, config=topic_config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stores, "apply", quick_feast.apply)
            stores.apply_artifact(settings)
        return Place(settings=settings, bootstrap=kafka_bootstrap)

    return make


# A controller without Ray --------------------------------------------------------------------------------------------


@pytest.fixture
def make_scene() -> type[Scene]:
    """Return what makes a controller over scripted replicas."""
    return Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()
