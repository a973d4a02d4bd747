"""What series that are held cost, in memory and with `windows.held_path`: a process of its own.

In: how many series, a folder or an empty text, as JSON on standard input. Out: bytes and microseconds, as JSON on
standard output. Knows no broker and no format.
"""

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from observed_data import BEGIN_S, COLUMNS, CONTRACT, EVERY_S, SPEC, STEPS

from undertow.observations.held_snapshot import freeze
from undertow.observations.plan import make_plan
from undertow.observations.read import Observations
from undertow.observations.series_places import PARTITION
from undertow.observations.streamed import StreamedSeries
from undertow.observations.taken import RecordPlaces

FILL, POLL, PARTITIONS = 65_536, 512, 4
NEVER = 10**9
HOT = 0.01
"""The share of series that go on being observed."""


def main() -> None:
    """Fill all series, go on with few, answer."""
    given = json.load(sys.stdin)
    count, folder = given["series"], given["folder"]
    plan = make_plan(replace(SPEC, stride=NEVER), CONTRACT)
    streamed, before = StreamedSeries(plan, held_path=Path(folder) if folder else None), resident()
    for step in range(STEPS):
        for first in range(0, count, FILL):
            take(streamed, np.arange(first, min(count, first + FILL)), step)
    full = resident()
    hot = np.random.default_rng(1).choice(count, max(POLL, int(HOT * count)), replace=False)
    took = [
        take(streamed, hot[first : first + POLL], step)
        for step in range(STEPS, STEPS + 6)
        for first in range(0, len(hot), POLL)
    ]
    last = took[len(took) // 2 :]  # by then what is hot is in memory
    began = time.perf_counter()
    freeze(streamed, 0)
    copied = time.perf_counter() - began
    answer = {
        "memory": (full["anonymous"] - before["anonymous"]) / count,
        "file": (full["file"] - before["file"]) / count,
        "copied": copied,
        "us": 1e6 * sum(last) / (len(hot) * 3),
        "most_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    json.dump(answer, sys.stdout)


def take(streamed: StreamedSeries, numbers: np.ndarray, step: int) -> float:
    """Have these series observed at a step; return the seconds of CPU it took."""
    count, at_us = len(numbers), (BEGIN_S + EVERY_S * step) * 1_000_000
    seen = Observations(
        rows=np.arange(count),
        series=np.arange(count),
        ids={"site": np.array([f"s{number}" for number in numbers], object), PARTITION: numbers % PARTITIONS},
        time_us=np.full(count, at_us),
        index=np.full(count, at_us // (EVERY_S * 1_000_000)),
        created=None,
        values=dict.fromkeys(COLUMNS, numbers + step * 1.0),
        names={},
        bad=(),
    )
    places = RecordPlaces(
        partition=numbers % PARTITIONS,
        offset=np.arange(count),
        appended_us=np.full(count, at_us),
        emits=np.ones(count, np.bool_),
    )
    began = time.thread_time()
    streamed.take(seen, np.arange(count), places)
    return time.thread_time() - began


def resident() -> dict[str, int]:
    """Return the bytes of memory that this process has: its own, and those of files, which the kernel may take back."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    found = {line[0]: int(line[1]) * 1024 for line in lines if line and line[0].startswith("Rss")}
    return {"anonymous": found["RssAnon:"] + found["RssShmem:"], "file": found["RssFile:"]}


if __name__ == "__main__":
    main()
