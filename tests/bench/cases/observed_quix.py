"""Quix Streams: its sliding window of the last observations of a key, kept in its own state, into a sink of batches."""

import logging
from pathlib import Path

import numpy as np
from case import Given, Measured, Meter, answer
from observed_data import BATCH, COLUMNS, SERIES, STEPS, WindowSink, measured, windows_of
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Collect
from quixstreams.sinks.base import BaseSink

CHECKPOINT_S = 2.0


class Windows(BaseSink):
    """Gathers windows into batches; what is left goes with Quix's checkpoint."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.sink = WindowSink()
        self.found: Measured | None = None
        self._meter, self._waiting = meter, []

    def add(self, value: dict, *_context: object, **_more: object) -> None:
        """Take one window: of the rows' values the columns, as a model has them."""
        rows = value["steps"]
        self._waiting.append(np.array([[row[name] for name in COLUMNS] for row in rows], np.float32))
        if len(self._waiting) == BATCH:
            self._take()

    def flush(self) -> None:
        """Take what is left; Quix commits the offsets after this."""
        if self._waiting:
            self._take()
        self.found = self._meter.stop(self.sink.windows, series=SERIES)

    def _take(self) -> None:
        self.sink.take(np.stack(self._waiting))
        self._waiting = []


def run(given: Given) -> Measured:
    """Read the whole topic."""
    meter = Meter()
    windows = Windows(meter)
    app = Application(
        broker_address=given.kafka,
        consumer_group=given.run,
        auto_offset_reset="earliest",
        commit_interval=CHECKPOINT_S,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=Path(given.folder) / f"quix-{given.run}",
        loglevel=logging.WARNING,
    )
    frame = app.dataframe(app.topic(given.topic, value_deserializer="json"))
    frame = frame.update(lambda _row: meter.start())
    frame = frame.sliding_count_window(STEPS).agg(steps=Collect()).final()
    frame.sink(windows)
    app.run(count=windows_of(given.count), collect=False)
    assert windows.found is not None, "no checkpoint was made"
    return measured(windows.found, windows.sink)


if __name__ == "__main__":
    answer(run)
