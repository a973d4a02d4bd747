"""From a record's append to its embedding readable, seen from outside, under a steady load on the fleet.

A record's beginning is the broker's own append time, which it returns to the producer (whole milliseconds, rounded
down: up to 1 ms is added to what is measured). Its end is the moment at which a process that is neither fleet nor
store has read the event time of that window, or of a later one, from the online store. Of every so many windows one
is watched, all watched ones that are not yet there in one round trip to Redis, about every two milliseconds.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import redis
from case import Given, answer
from confluent_kafka import Message, Producer
from data import PARTITIONS, encoded, end_of, name_of
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from fleet import running, wait_until
from google.protobuf.timestamp_pb2 import Timestamp
from product import feature_of, open_store

WATCH_EVERY = 211  # a prime: all series and partitions come in turn
PAUSE_S = 0.002
LATEST_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from append to readable."""

    rate: float
    """Windows a second that were really written."""
    watched: int
    p50_ms: float
    p99_ms: float
    own_p50_ms: float
    """What the fleet itself says of all windows: append time to the return of its write."""
    own_p99_ms: float


class Watch:
    """The watched windows that were appended and are not yet readable."""

    def __init__(self, given: Given) -> None:
        self.waits: list[float] = []
        self.outstanding: dict[int, float] = {}  # window: append time
        self._redis = redis.Redis.from_url(f"redis://{given.redis}")
        self._project = open_store(given).project
        self._field = f"_ts:{feature_of(given).split(':')[0]}"

    def appended(self, number: int, error: object, message: Message) -> None:
        """Begin to watch a window: the producer's report that it was appended."""
        assert error is None, error
        self.outstanding[number] = message.timestamp()[1] / 1000

    def look(self) -> None:
        """Read the event time of everything outstanding."""
        if not self.outstanding:
            return
        numbers = list(self.outstanding)
        pipeline = self._redis.pipeline(transaction=False)
        for number in numbers:
            pipeline.hget(self._key(number), self._field)
        answers, now = pipeline.execute(), time.time()
        for number, stored in zip(numbers, answers, strict=True):
            if stored and Timestamp.FromString(stored).seconds >= end_of(number).timestamp():
                self.waits.append(1000 * (now - self.outstanding.pop(number)))

    def _key(self, number: int) -> bytes:
        entity = EntityKey(join_keys=["series"], entity_values=[Value(string_val=name_of(number))])
        return _redis_key(self._project, entity, entity_key_serialization_version=3)


def run(given: Given) -> Latency:
    """Write `count` windows at `rate` a second and watch some of them."""
    records = list(encoded(0, given.count))
    producer = Producer({"bootstrap.servers": given.kafka, "linger.ms": 5, "acks": "all"})  # its default, and Kafka 4's
    watch = Watch(given)
    with running(given) as fleet:
        began, sent = time.perf_counter(), 0
        while sent < given.count:
            due = min(given.count, int((time.perf_counter() - began) * given.rate))
            for number in range(sent, due):
                watched = number % WATCH_EVERY == 0
                producer.produce(
                    given.run,
                    records[number],
                    partition=number % PARTITIONS,
                    on_delivery=partial(watch.appended, number) if watched else None,
                )
            sent = due
            producer.poll(0)
            watch.look()
            time.sleep(PAUSE_S)
        rate = sent / (time.perf_counter() - began)
        producer.flush()
        give_up_at = time.monotonic() + LATEST_S
        while watch.outstanding:
            assert time.monotonic() < give_up_at, f"never readable: windows {sorted(watch.outstanding)[:8]}"
            watch.look()
        status = wait_until(fleet, lambda status: status.windows >= given.count, LATEST_S)
    p50, p99 = np.percentile(watch.waits, [50, 99]).tolist()
    return Latency(
        rate=rate,
        watched=len(watch.waits),
        p50_ms=p50,
        p99_ms=p99,
        own_p50_ms=status.latency_ms(0.50),
        own_p99_ms=status.latency_ms(0.99),
    )


if __name__ == "__main__":
    answer(run)
