"""Quix Streams with a sink of one's own: it reads, decodes and commits; the sink embeds and pushes full batches."""

import logging
from pathlib import Path

from case import Given, Measured, Meter, answer
from data import warm_windows
from feast import FeatureStore
from features import open_store, push
from model import BATCH, embed, inputs_of, load
from pytorch_forecasting import TemporalFusionTransformer
from quixstreams import Application
from quixstreams.sinks.base import BaseSink

CHECKPOINT = 4 * BATCH


class EmbeddingSink(BaseSink):
    """Gathers windows until Quix's checkpoint, then embeds and pushes them in full batches.

    `BatchingSink` keeps a batch for each partition, so at a checkpoint it hands over four of unequal sizes; this one
    always has full ones.
    """

    def __init__(self, model: TemporalFusionTransformer, store: FeatureStore, meter: Meter) -> None:
        super().__init__()
        self.done = 0
        self.measured: Measured | None = None
        self._model, self._store, self._meter = model, store, meter
        self._waiting: list[dict] = []
        self._seen: set[str] = set()

    def add(self, value: dict, *_context: object, **_more: object) -> None:
        """Take one window."""
        self._meter.start()
        self._waiting.append(value)

    def flush(self) -> None:
        """Embed and push everything that waits; Quix commits the offsets after this."""
        for start in range(0, len(self._waiting), BATCH):
            batch = sorted(self._waiting[start : start + BATCH], key=lambda window: window["series"]["series"])
            x = inputs_of(self._model, batch)
            with self._meter.forward():
                vectors = embed(self._model, x)
            push(self._store, batch, vectors)
            self._seen.update(window["series"]["series"] for window in batch)
        self.done += len(self._waiting)
        self._waiting = []
        self.measured = self._meter.stop(self.done, series=len(self._seen))


def run(given: Given) -> Measured:
    """Embed the first windows of the topic."""
    model, store, meter = load(given.path), open_store(given.path, given.redis), Meter()
    warm = warm_windows(BATCH)
    push(store, warm, embed(model, inputs_of(model, warm)))
    sink = EmbeddingSink(model, store, meter)
    app = Application(
        broker_address=given.kafka,
        consumer_group=given.run,
        auto_offset_reset="earliest",
        commit_every=CHECKPOINT,
        commit_interval=3600,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=Path(given.folder) / "quix",
        loglevel=logging.WARNING,
    )
    app.dataframe(app.topic(given.topic, value_deserializer="json")).sink(sink)
    app.run(count=given.count, collect=False)
    assert sink.measured is not None, "no checkpoint was made"
    return sink.measured


if __name__ == "__main__":
    answer(run)
