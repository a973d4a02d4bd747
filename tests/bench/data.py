"""The windows that every case embeds, and the topic that holds them.

In: a number of windows. Out: window records of the wire contract, always the same ones, as JSON or Arrow. Knows no
model and no case.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import orjson
from confluent_kafka import Producer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from numpy.typing import NDArray

from undertow.schemas.arrow_codec import encode_arrow
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch

COLUMNS = ("level", "flow", "heat", "wind")
TARGET = COLUMNS[0]
STEPS = 24
HORIZON = 6
SERIES = 4096
PARTITIONS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = 4096
IN_MESSAGE = 64
"""Windows of one Arrow message."""


def name_of(number: int) -> str:
    """Return the series of window `number`: the series take turns, so that neighbours in the topic never share one."""
    return f"s{number % SERIES:04d}"


def end_of(number: int) -> datetime:
    """Return the event time of window `number`: a minute later for each turn of its series."""
    return START + timedelta(minutes=number // SERIES)


def number_of(series: str, end: datetime) -> int:
    """Return the window that `name_of` and `end_of` describe."""
    return int(series[1:]) + SERIES * round((end - START) / timedelta(minutes=1))


def windows(first: int, last: int) -> Iterator[dict]:
    """Yield the windows `first <= number < last` as the wire contract has them."""
    for block in range(first // BLOCK, -(-last // BLOCK)):
        past = block_values(block)
        for number in range(max(first, block * BLOCK), min(last, (block + 1) * BLOCK)):
            yield {
                "series": {"series": name_of(number)},
                "end": end_of(number).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "past": dict(zip(COLUMNS, past[number % BLOCK].tolist(), strict=True)),
            }


def warm_windows(count: int) -> list[dict]:
    """Return windows to warm a case up with, of series that the topic has not: their rows must not stand in the way."""
    return [{**window, "series": {"series": f"w{number:04d}"}} for number, window in enumerate(windows(0, count))]


@lru_cache(maxsize=16)
def block_values(block: int) -> NDArray[np.float64]:
    """Return the random walks of one block of windows, (BLOCK, columns, STEPS); any block can be had by itself."""
    return np.random.default_rng(block).normal(size=(BLOCK, len(COLUMNS), STEPS)).cumsum(axis=2).round(4)


def make_topic(
    bootstrap: str, topic: str, partitions: int = PARTITIONS, configs: Mapping[str, str] | None = None
) -> None:
    """Create an empty topic whose records carry the time at which the broker appended them."""
    said = {"message.timestamp.type": "LogAppendTime", **(configs or {})}
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=said)])


def encoded(first: int, last: int) -> Iterator[bytes]:
    """Yield the windows as a topic of JSON has them."""
    return map(orjson.dumps, windows(first, last))


def arrow_encoded(first: int, last: int, contract: InputContract) -> Iterator[bytes]:
    """Yield the same windows as a topic of Arrow has them; both numbers are multiples of `IN_MESSAGE`."""
    for begin in range(first, last, IN_MESSAGE):
        numbers = range(begin, begin + IN_MESSAGE)
        past = block_values(begin // BLOCK)[begin % BLOCK :][:IN_MESSAGE]
        ends = [round(end_of(number).timestamp()) * 1_000_000 for number in numbers]
        windows = WindowBatch(
            series={"series": np.array([name_of(number) for number in numbers], object)},
            end_us=np.array(ends),
            lengths=np.full(IN_MESSAGE, STEPS),
            past={name: np.ascontiguousarray(past[:, column]).ravel() for column, name in enumerate(COLUMNS)},
            future={},
            static={},
        )
        yield encode_arrow(windows, contract)


def fill(
    bootstrap: str, topic: str, records: Sequence[bytes], partitions: int = PARTITIONS, *, is_keyed: bool = True
) -> None:
    """Write records to the topic in turns, keyed if they are one window each, the first being window 0.

    By librdkafka, to take little CPU from what is measured.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    for number, value in enumerate(records):
        key = name_of(number) if is_keyed else None
        producer.produce(topic, value, key=key, partition=number % partitions)
    left = producer.flush(60)
    assert not left, f"{left} records were not written to {topic}"
