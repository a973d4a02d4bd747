"""Undertow's stream of observations, without a model: Kafka's records in, windows out, offsets and snapshots kept."""

import time
from pathlib import Path

import numpy as np
from case import Given, Measured, Meter, answer
from observed_data import COLUMNS, CONTRACT, SERIES, SPEC, STEPS, WindowSink, measured, windows_of

from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.memory_snapshots import MemoryForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.observations.plan import make_plan
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.observing import ObservingSource
from undertow.wiring.observed_source import open_records

COMMIT_S = 2.0


def run(given: Given) -> Measured:
    """Read the whole topic."""
    kafka = KafkaSettings(bootstrap=given.kafka, topic=given.topic, group=given.run, content="observations")
    records = open_records(kafka, StreamedSeries(make_plan(SPEC, CONTRACT)), lambda _event: None)
    folder = Path(given.folder) / given.run
    folder.mkdir()
    source = ObservingSource(
        KafkaSource(kafka, records.decode),
        records,
        WindowSnapshots(folder),
        MemoryForgetRequests(),
        identity="bench",
        snapshot_seconds=60.0,
        tell=lambda _event: None,
    )
    meter, sink, wanted = Meter(), WindowSink(), windows_of(given.count)
    source.assign({Partition(given.topic, index): 0 for index in range(given.partitions)})
    meter.start()
    committed, receipts = time.monotonic(), {}
    while sink.windows < wanted:
        delivery = source.poll(0.5)
        if delivery is None:
            continue
        windows = delivery.decoded.windows
        if len(windows):
            past = np.stack([windows.past[name] for name in COLUMNS], axis=1, dtype=np.float32)
            sink.take(past.reshape(len(windows), STEPS, len(COLUMNS)))
        receipts |= delivery.receipt
        if time.monotonic() - committed >= COMMIT_S:
            source.commit(receipts, wait=False)
            committed = time.monotonic()
    source.commit(receipts)
    found = meter.stop(sink.windows, series=SERIES)
    source.close()
    return measured(found, sink)


if __name__ == "__main__":
    answer(run)
