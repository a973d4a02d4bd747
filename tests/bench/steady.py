"""A steady load on a fleet: the most that it keeps up with, and how long a window takes at a rate below that.

In: a running fleet. Out: windows a second, waits, and the CPU of every process that takes part. Knows not why.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from case import Given
from fleet import wait_until
from load import Load
from numpy.typing import NDArray
from product import feature_of, open_store

from undertow.fleet.handle import Fleet

HERE = Path(__file__).parent
WARM_UP_S = 30.0
"""Before anything counts: the broker's Java compiles what small requests need while they come, on half a core."""
AHEAD = 8_192
"""Windows that may be written and not yet embedded when the most is sought: never so few that a replica waits."""
START_S, END_S = 1.0, 0.5
LATEST_S = 60.0
OTHERS = "Ray's servers"


def most(given: Given, fleet: Fleet, first: int, *, warm_s: float, seconds: float) -> tuple[float, int]:
    """Return the windows a second that the fleet takes while the producer runs beside it, and the next window."""
    load = Load(
        kafka=given.kafka,
        topic=given.run,
        partitions=given.partitions,
        first=first,
        last=first + 10_000_000,
        rate=0.0,
    )
    base = fleet.status().counts.windows
    allowed = first
    with process("load", load.to_line()) as producer:
        tell(producer, 0)
        began, marks = time.monotonic(), []
        while not marks or time.monotonic() < began + warm_s + seconds:
            done = fleet.status().counts.windows - base
            allowed = max(allowed, first + done + AHEAD)
            tell(producer, allowed)
            if time.monotonic() >= began + warm_s:
                marks.append((time.monotonic(), done))
            time.sleep(0.05)
        assert producer.stdin is not None
        producer.stdin.close()
        producer.wait(LATEST_S)
    wait_until(fleet, lambda status: status.counts.windows - base >= allowed - first, LATEST_S)
    (from_s, before), (to_s, after) = marks[0], marks[-1]
    return (after - before) / (to_s - from_s), allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What was seen at one rate."""

    ms: NDArray[np.float64]
    """From append to readable, of each watched window."""
    cores: Mapping[str, float]
    """CPU of each process, in cores."""
    batch: float
    """Windows that a replica took at a time, on average."""
    embed_ms: float
    """Of such a batch."""
    write_ms: float
    """Online, of such a batch."""
    next: int
    """The first window that was not written."""


def waits_at(given: Given, fleet: Fleet, first: int, *, rate: float, seconds: float) -> Waits:
    """Write at a rate, and after a while of warming up watch for so long."""
    counted = first + int(rate * WARM_UP_S)
    last = counted + int(rate * seconds)
    load = Load(
        kafka=given.kafka,
        topic=given.run,
        partitions=given.partitions,
        first=first,
        last=last,
        rate=rate,
    )
    base = fleet.status().counts.windows
    where = f"_ts:{feature_of(given).split(':')[0]}"
    watched = json.dumps([asdict(load), given.redis, open_store(given).project, where]).encode() + b"\n"
    with process("watch", watched) as watcher, process("load", load.to_line()) as producer:
        begin_at = time.time() + START_S
        for one in (watcher, producer):
            tell(one, begin_at)
        pids = {**pids_of(given, fleet), "producer": producer.pid, "watcher": watcher.pid}
        time.sleep(max(0.0, begin_at + WARM_UP_S - time.time()))
        before, begun = cpu_of(pids), done(fleet)
        time.sleep(seconds - END_S)  # while all of them still run
        spent = {name: cpu - before[name] for name, cpu in cpu_of(pids).items() if name in before}
        batches, windows, embed_s, write_s = done(fleet) - begun
        appended, readable = times(producer), times(watcher)
    wait_until(fleet, lambda status: status.counts.windows - base >= last - first, LATEST_S)
    return Waits(
        ms=np.array([max(0.0, readable[one] - at) for one, at in appended.items() if one >= counted]),
        cores={name: cpu / (seconds - END_S) for name, cpu in spent.items()},
        batch=windows / batches,
        embed_ms=1e3 * embed_s / batches,
        write_ms=1e3 * write_s / batches,
        next=last,
    )


def done(fleet: Fleet) -> NDArray[np.float64]:
    """Return how many batches and windows all replicas have done so far, and the seconds of embedding and writing."""
    counts = [replica.counts for replica in fleet.status().replicas]
    return np.array(
        [(sum(one.batches.values()), one.windows, one.embed_s, one.write_s) for one in counts], np.float64
    ).sum(axis=0)


def pids_of(given: Given, fleet: Fleet) -> dict[str, int]:
    """Return the processes that take part, by what they are; Ray's own are left out, and summed up by `cpu_of`."""
    replicas = {f"replica {number}": one.pid for number, one in enumerate(fleet.status().replicas, 1)}
    return {**given.pids, **replicas, **controller_pid(set(replicas.values()))}


def controller_pid(replicas: set[int]) -> dict[str, int]:
    """Find the controller among the actors that this process has started."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("ray::Controller" in word for word in child.cmdline()) and child.pid not in replicas:
                return {"controller": child.pid}
    return {}


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """Return CPU seconds so far of each process, of this one, and of all others that it has started together."""
    me = psutil.Process()
    spent = {"driver": sum(me.cpu_times()[:2]), OTHERS: 0.0}
    for name, pid in pids.items():
        with suppress(psutil.Error):
            spent[name] = sum(psutil.Process(pid).cpu_times()[:2])
    for child in me.children(recursive=True):
        if child.pid not in pids.values():
            with suppress(psutil.Error):
                spent[OTHERS] += sum(child.cpu_times()[:2])
    return spent


@contextmanager
def process(module: str, line: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of this folder; give it when it is ready to begin."""
    with subprocess.Popen(
        [sys.executable, "-m", module], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        try:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(line)
            running.stdin.flush()
            assert running.stdout.readline() == b"ready\n", f"{module} did not begin"
            yield running
        finally:
            running.kill()


def tell(running: subprocess.Popen[bytes], number: float) -> None:
    """Write a line to a process."""
    assert running.stdin is not None
    running.stdin.write(f"{number}\n".encode())
    running.stdin.flush()


def times(running: subprocess.Popen[bytes]) -> dict[int, float]:
    """Read lines of a window and its milliseconds until the process ends."""
    assert running.stdout is not None
    lines = [line.split() for line in running.stdout]
    assert running.wait(LATEST_S) == 0, f"{running.args} failed"
    return {int(number): float(at) for number, at in lines}
