"""The load: a process that writes windows, at a rate or as fast as it is told that they are taken.

In: what to write, as a line of JSON, and when to begin, as another; then, without a rate, lines with the number that
may have been written so far.
Out: a line `window milliseconds` for each watched window, with the time at which the broker appended it. Knows neither
fleet nor store.

It makes each record of ready bytes, and a thread of librdkafka sends it: about as little CPU as a producer can take.
"""

import json
import select
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import IO

import orjson
from confluent_kafka import Message, Producer
from data import BLOCK, COLUMNS, SERIES, block_values, end_of, name_of

WATCH_EVERY = 211  # a prime: all series and partitions come in turn
PAUSE_S = 0.002
OPTIONS = {"linger.ms": 5, "acks": "all", "queue.buffering.max.messages": 1_000_000}  # their defaults, and Kafka 4's


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Windows `first <= number < last`, at `rate` a second from `began_at` on, or where it is 0 as told."""

    kafka: str
    topic: str
    partitions: int
    first: int
    last: int
    rate: float
    began_at: float = 0.0

    def due(self, now: float) -> int:
        """Return how many windows are to be written by then, the first ones counted."""
        return min(self.last, self.first + max(0, int((now - self.began_at) * self.rate)))

    def to_line(self) -> bytes:
        """Return what the process reads."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Records:
    """The bytes of any window, put together of few that were encoded before."""

    def __init__(self) -> None:
        values = block_values(0).tolist()
        self._past = [b',"past":' + orjson.dumps(dict(zip(COLUMNS, columns, strict=True))) + b"}" for columns in values]
        self._series = [b'{"series":{"series":"' + name_of(number).encode() + b'"},"end":"' for number in range(SERIES)]
        self._turn, self._end = -1, b""

    def value(self, number: int) -> bytes:
        """Return one record, as `data.encoded` would but for the past, which is that of the first block."""
        turn = number // SERIES
        if turn != self._turn:
            self._turn, self._end = turn, f'{end_of(number):%Y-%m-%dT%H:%M:%S.%fZ}"'.encode()
        return self._series[number % SERIES] + self._end + self._past[number % BLOCK]


def write(load: Load, stdin: IO[bytes]) -> None:
    """Write all of it and return when it is acknowledged."""
    records, producer = Records(), Producer({"bootstrap.servers": load.kafka, **OPTIONS})
    sent, allowed = load.first, load.first
    load = begin(load, stdin)
    while sent < load.last:
        if load.rate:
            allowed = load.due(time.time())
        elif select.select([stdin], [], [], 0)[0]:
            line = stdin.readline()
            allowed = min(load.last, int(line)) if line else sent
            if not line:
                break
        for number in range(sent, allowed):
            watched = number % WATCH_EVERY == 0
            producer.produce(
                load.topic,
                records.value(number),
                partition=number % load.partitions,
                on_delivery=partial(tell, number) if watched else None,
            )
        sent = max(sent, allowed)
        producer.poll(0)
        time.sleep(PAUSE_S)
    assert not producer.flush(60), "the broker has not taken all records"


def begin(load: Load, stdin: IO[bytes]) -> Load:
    """Say that everything is loaded, and learn when the first window is due."""
    print("ready", flush=True)
    return replace(load, began_at=float(stdin.readline()))


def tell(number: int, error: object, message: Message) -> None:
    """Say when the broker appended a window."""
    assert error is None, error
    print(number, message.timestamp()[1], flush=True)


if __name__ == "__main__":
    lines = open(0, "rb", buffering=0)  # noqa: SIM115  # a buffer would hide lines from `select`
    write(Load(**json.loads(lines.readline())), lines)
