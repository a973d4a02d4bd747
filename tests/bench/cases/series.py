"""How much memory a replica takes after so many distinct series: it keeps nothing of any of them.

One replica without Ray reads a topic of Arrow in which every window is of another series. Its resident memory and that
of Redis, which has a row for each, are read at 1, 10 and 100 % of them.
"""

import gc
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psutil
import redis
import torch
from case import Given, answer
from confluent_kafka import Producer
from data import COLUMNS, IN_MESSAGE, START, STEPS, block_values, make_topic
from product import contract_of, settings_of

from undertow.schemas.arrow_codec import encode_arrow
from undertow.schemas.windows import WindowBatch
from undertow.wiring.root import open_stream, stream_recipe

SHARES = (0.01, 0.1, 1.0)
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory after so many series, MiB."""

    series: list[int]
    replica_mib: list[float]
    redis_mib: list[float]


def run(given: Given) -> Memory:
    """Embed one window of each series."""
    torch.set_num_threads(1)
    make_topic(given.kafka, given.run, given.partitions)
    multiprocessing.get_context("spawn").Process(target=write, args=(given,), daemon=True).start()  # memory of its own
    recipe = stream_recipe(settings_of(given, topic=given.run))
    stream = open_stream(recipe, lambda: False)
    stream.assign(recipe.partitions)
    server, me = redis.Redis.from_url(f"redis://{given.redis}"), psutil.Process()
    memory = Memory(series=[], replica_mib=[], redis_mib=[])
    for series in (int(share * given.count) for share in SHARES):
        while stream.counts.windows < series:
            stream.step()
        stream.checkpoint()
        gc.collect()
        memory.series.append(stream.counts.windows)
        memory.replica_mib.append(me.memory_info().rss / MIB)
        memory.redis_mib.append(server.info("memory")["used_memory"] / MIB)
    readable = server.dbsize()
    assert readable >= given.count, f"{readable} series are readable, {given.count} were written"
    stream.close()
    return memory


def write(given: Given) -> None:
    """Write all windows, never far ahead of the broker."""
    producer = Producer({"bootstrap.servers": given.kafka, "linger.ms": 50, "queue.buffering.max.kbytes": 8 << 10})
    for number, value in enumerate(records(given)):
        while True:
            try:
                producer.produce(given.run, value, partition=number % given.partitions)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def records(given: Given) -> Iterator[bytes]:
    """Yield messages whose windows are all of different series."""
    contract = contract_of(given)
    past = {name: np.ascontiguousarray(block_values(0)[:IN_MESSAGE, n]).ravel() for n, name in enumerate(COLUMNS)}
    ends = np.full(IN_MESSAGE, round(START.timestamp()) * 1_000_000)
    for first in range(0, given.count, IN_MESSAGE):
        series = np.array([f"n{first + row:08d}" for row in range(IN_MESSAGE)], object)
        windows = WindowBatch(
            series={"series": series},
            end_us=ends,
            lengths=np.full(IN_MESSAGE, STEPS),
            past=past,
            future={},
            static={},
        )
        yield encode_arrow(windows, contract)


if __name__ == "__main__":
    answer(run)
