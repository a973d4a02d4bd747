"""The observations that every case of the stream reads, and the sink that takes the windows of all.

In: a number of observations. Out: records of JSON, always the same ones; what the windows add up to. Knows no case.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import orjson
from case import Measured
from confluent_kafka import Producer
from numpy.typing import NDArray

from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column, IdColumn, InputContract

COLUMNS = ("flow", "head", "level")
STEPS = 24
SERIES = 2_000
EVERY_S = 60
BEGIN_S = 1_767_225_600
BATCH = 256
SPEC = WindowSpec(every="1m")
CONTRACT = InputContract(
    series=(IdColumn(name="site", type="string"),),
    past=tuple(Column(name=name) for name in COLUMNS),
    min_length=STEPS,
    max_length=STEPS,
)


def name_of(number: int) -> str:
    """Return the series of an observation: the series take turns."""
    return f"s{number % SERIES:04}"


def observations(count: int) -> Iterator[dict]:
    """Yield them, minute after minute."""
    values = np.random.default_rng(0).normal(size=(count, len(COLUMNS))).round(4).tolist()
    for number, row in enumerate(values):
        at_us = (BEGIN_S + EVERY_S * (number // SERIES)) * 1_000_000
        yield {"site": name_of(number), "event_timestamp": at_us, **dict(zip(COLUMNS, row, strict=True))}


def windows_of(count: int) -> int:
    """Return how many windows there are of so many observations, a multiple of `SERIES`."""
    return SERIES * max(0, count // SERIES - STEPS + 1)


def fill(bootstrap: str, topic: str, count: int, partitions: int) -> None:
    """Write them, keyed by their series, a record each."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    for number, row in enumerate(observations(count)):
        at_ms = row["event_timestamp"] // 1_000
        key = name_of(number)
        producer.produce(topic, orjson.dumps(row), key=key, partition=number % SERIES % partitions, timestamp=at_ms)
        if number % 10_000 == 0:
            producer.poll(0)
    left = producer.flush(60)
    assert not left, f"{left} records were not written to {topic}"


class WindowSink:
    """Takes windows as a model would have them, (windows, steps, columns) of float32, and adds them up."""

    def __init__(self) -> None:
        self.windows = 0
        self.total = 0
        self._weights = np.arange(1, STEPS * len(COLUMNS) + 1).reshape(STEPS, len(COLUMNS))

    def take(self, batch: NDArray[np.float32]) -> None:
        """Take a batch. The sum is exact, whatever the order: whole numbers, modulo 2^64."""
        self.windows += len(batch)
        self.total += int((np.rint(batch.astype(np.float64) * 1e4).astype(np.int64) * self._weights).sum())


def measured(found: Measured, sink: WindowSink) -> Measured:
    """Return what was measured, with what the windows add up to in the place of the stages."""
    return replace(found, stages={"total": float(sink.total % (1 << 40))})
