"""What an observation and a window cost in a stream, without Kafka: CPU of the thread that decodes.

In: how many observations. Out: microseconds. Knows no broker.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import orjson
from observed_data import CONTRACT, SERIES, SPEC, STEPS, observations

from undertow.observations.plan import make_plan
from undertow.observations.streamed import StreamedSeries
from undertow.observations.streamed_records import StreamedRecords
from undertow.schemas.records import Partition, Record
from undertow.settings.sections import KafkaSettings
from undertow.wiring.observed_source import open_records

POLL = 512
NEVER = 10**9
"""A stride at which no window ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Microseconds of CPU."""

    decode: float
    """An observation: its record, read from JSON."""
    observation: float
    """An observation, beside that: found, put into its cell, the cell closed and kept."""
    window: float
    """A window that is made, beside the observation."""


def costs_of(count: int) -> Costs:
    """Return what so many observations cost, once all windows are full."""
    rows = observations(count + STEPS * SERIES)
    place = Partition("bench", 0)
    records = [
        Record(partition=place, offset=number, appended_us=row["event_timestamp"], value=orjson.dumps(row))
        for number, row in enumerate(rows)
    ]
    polls = [records[at : at + POLL] for at in range(0, len(records), POLL)]
    first = -(-STEPS * SERIES // POLL)
    without, every = _opened(NEVER), _opened(1)
    read_s = _seconds(without._read, polls[first:])
    for poll in islice(polls, first):
        without.decode(poll)
        every.decode(poll)
    without_s, every_s = _seconds(without.decode, polls[first:]), _seconds(every.decode, polls[first:])
    measured = sum(map(len, polls[first:]))
    return Costs(
        decode=1e6 * read_s / measured,
        observation=1e6 * (without_s - read_s) / measured,
        window=1e6 * (every_s - without_s) / measured,
    )


def _opened(stride: int) -> StreamedRecords:
    series = StreamedSeries(make_plan(replace(SPEC, stride=stride), CONTRACT))
    return open_records(KafkaSettings(content="observations"), series, lambda _event: None)


def _seconds(act: Callable[[Sequence[Record]], object], polls: Sequence[Sequence[Record]]) -> float:
    began = time.thread_time()
    for poll in polls:
        act(poll)
    return time.thread_time() - began
