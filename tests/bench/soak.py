"""The soak: a fleet under a steady load for an hour or a night, looked at each minute, and whether it stays as it was.

In: how long. Out: a line for each minute and a verdict, in the README with `--write`. Knows of replicas only what their
status says and what the kernel says of their processes.
"""

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from case import Given
from fleet import running
from load import Load
from model import make_checkpoint
from product import feature_of, open_store, prepare
from readme import Section
from report import print_machine, table_of
from rich.console import Console
from soak_verdict import Minute, judge
from steady import START_S, controller_pid, most, process, tell

from undertow.devstack.stack import ephemeral
from undertow.fleet.handle import Fleet
from undertow.fleet.status import FleetStatus

RETENTION = {"retention.ms": "300000", "segment.bytes": str(32 << 20), "segment.ms": "60000"}
"""The broker's disk stays bounded: it looks every five minutes."""
WARM_S, MOST_S = 5.0, 15.0
GRACE_S = 2.0
"""A window of a minute may still be on its way when the minute ends."""
MIB = 1 << 20
HEADINGS = (
    "minute",
    "windows",
    "p50 ms",
    "p99 ms",
    "lag",
    "replicas MiB",
    "controller MiB",
    "files",
    "threads",
    "part files",
    "CPU us/window",
    "yardstick ms",
)


class Lines:
    """The lines of a process as it writes them."""

    def __init__(self, source: IO[bytes]) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def take(self) -> dict[int, float]:
        """Return windows and milliseconds that have come since the last call."""
        taken = {}
        with suppress(queue.Empty):
            while True:
                number, at = self._lines.get_nowait().split()
                taken[int(number)] = float(at)
        return taken

    def _read(self, source: IO[bytes]) -> None:
        for line in source:
            self._lines.put(line)


def soak(given: Given, section: Section, *, share: float, seconds: float, minute_s: float) -> list[Minute]:
    """Load a fleet for so long, print what each minute was like, and return it."""
    minutes: list[Minute] = []
    with running(given, RETENTION) as fleet:
        limits = {"warm_s": min(WARM_S, seconds), "seconds": min(MOST_S, seconds)}
        rate, first = most(given, fleet, 0, **limits)
        load = Load(
            kafka=given.kafka,
            topic=given.run,
            partitions=given.partitions,
            first=first,
            last=first + int(share * rate * seconds),
            rate=share * rate,
        )
        where = f"_ts:{feature_of(given).split(':')[0]}"
        watched = json.dumps([asdict(load), given.redis, open_store(given).project, where]).encode() + b"\n"
        section.console.print(
            f"{share * rate:,.0f} windows/s for {seconds / 60:,.1f} minutes, {100 * share:.0f} % of what "
            f"{given.replicas} replicas keep up with.",
            soft_wrap=True,
        )
        with process("watch", watched) as watcher, process("load", load.to_line()) as producer:
            for one in (watcher, producer):
                tell(one, time.time() + START_S)
            for minute in look_each(given, fleet, producer, watcher, minute_s):
                minutes.append(minute)
                Console(stderr=True).print(minute_line(minute))
            assert watcher.wait(60) == 0, "some windows have never become readable"
    return minutes


def look_each(
    given: Given, fleet: Fleet, producer: subprocess.Popen[bytes], watcher: subprocess.Popen[bytes], minute_s: float
) -> Iterator[Minute]:
    """Yield what is seen at the end of each minute, until the load has ended."""
    assert producer.stdout is not None
    assert watcher.stdout is not None
    begins, ends = Lines(producer.stdout), Lines(watcher.stdout)
    appended: dict[int, float] = {}
    readable: dict[int, float] = {}
    status, number = fleet.status(), 0
    before, spent = status.counts.windows, cpu_s(status)
    time.sleep(START_S + GRACE_S)
    while producer.poll() is None:
        speeds = [*yardsticks(producer, minute_s)]
        appended |= begins.take()
        readable |= ends.take()
        both = appended.keys() & readable.keys()
        waits = [max(0.0, readable.pop(window) - appended.pop(window)) for window in both]
        if not waits:
            continue
        number += 1
        status = fleet.status()
        p50, p99 = np.percentile(waits, [50, 99]).tolist()
        windows, cpu = status.counts.windows - before, cpu_s(status) - spent
        yield Minute(
            number=number,
            windows=windows,
            p50_ms=p50,
            p99_ms=p99,
            lag=status.lag or 0,
            **of_processes({one.pid for one in status.replicas}),
            cpu_us=1e6 * cpu / max(1, windows),
            yardstick_ms=statistics.mean(speeds),
            parts=sum(1 for _ in (given.path / "offline" / given.run).rglob("*.parquet")),
        )
        before, spent = before + windows, spent + cpu


def of_processes(replicas: set[int]) -> Mapping[str, float]:
    """Return what the kernel says of the replicas, the controller and this process."""
    mine = [psutil.Process(pid) for pid in replicas]
    controllers = [psutil.Process(pid) for pid in controller_pid(replicas).values()]
    return {
        "replicas_mib": sum(one.memory_info().rss for one in mine) / MIB,
        "controller_mib": sum(one.memory_info().rss for one in controllers) / MIB,
        "files": sum(one.num_fds() for one in mine),
        "threads": sum(one.num_threads() for one in mine),
    }


def cpu_s(status: FleetStatus) -> float:
    """Return the CPU that the replicas have taken so far."""
    return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in status.replicas)


def yardsticks(load: subprocess.Popen[bytes], seconds: float) -> Iterator[float]:
    """Wait for so long, or until the load ends; yield once a second how much CPU a fixed computation takes, in ms.

    CPU, so that no other program's turn on the core counts: it tells what the core itself gives.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        began = time.thread_time()
        sum(range(500_000))
        yield 1000 * (time.thread_time() - began)
        with suppress(subprocess.TimeoutExpired):
            load.wait(min(1.0, left))
            return


def cells(minute: Minute) -> tuple[str, ...]:
    """Return a minute as the table has it."""
    return (
        f"{minute.number}",
        f"{minute.windows:,}",
        f"{minute.p50_ms:.1f}",
        f"{minute.p99_ms:.1f}",
        f"{minute.lag:,}",
        f"{minute.replicas_mib:,.1f}",
        f"{minute.controller_mib:,.1f}",
        f"{minute.files}",
        f"{minute.threads}",
        f"{minute.parts:,}",
        f"{minute.cpu_us:,.0f}",
        f"{minute.yardstick_ms:.1f}",
    )


def minute_line(minute: Minute) -> str:
    """Return a minute as it is told while the soak runs."""
    return ", ".join(f"{name} {cell}" for name, cell in zip(HEADINGS, cells(minute), strict=True))


def print_soak(console: Console, minutes: list[Minute]) -> None:
    """Print at most thirty of the minutes, and the verdict."""
    table = table_of(*HEADINGS)
    step = -(-len(minutes) // 30)
    for minute in [*minutes[:-1:step], minutes[-1]]:
        table.add_row(*cells(minute))
    console.print(table)
    verdicts = table_of("after the first tenth", "at its end", "grown by", "allowed", "flat")
    for one in judge(minutes):
        flat = "yes" if one.is_flat else "no"
        verdicts.add_row(one.what, f"{one.begin:,.1f}", f"{one.grown:+,.1f}", f"{one.allowed:,.1f}", flat)
    console.print(verdicts)


def main() -> None:
    """Parse, prepare, run, print; exit 1 where something is not flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--share", type=float, default=0.3, help="of what the fleet keeps up with")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds between two looks")
    parser.add_argument("--write", action="store_true", help="put the tables into the README as well")
    parser.add_argument("--kafka", help="host:port of a broker that runs already; with --redis")
    parser.add_argument("--redis", help="host:port of a Redis that may be emptied; with --kafka")
    options = parser.parse_args()
    if bool(options.kafka) != bool(options.redis):
        parser.error("--kafka goes with --redis")
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    with tempfile.TemporaryDirectory(prefix="undertow-soak-") as name:
        if options.kafka:
            minutes = run(Path(name), options.kafka, options.redis, options)
        else:
            with ephemeral(Path(name) / "stack") as stack:
                minutes = run(Path(name), stack.bootstrap, stack.redis, options)
    if not all(one.is_flat for one in judge(minutes)):
        sys.exit("not flat: see the verdict")


def run(folder: Path, kafka: str, redis: str, options: argparse.Namespace) -> list[Minute]:
    """Prepare and soak."""
    section = Section(partial(print_machine, script="soak"), write=options.write)
    work = folder / "work"
    work.mkdir()
    given = Given(count=0, folder=str(work), kafka=kafka, redis=redis, topic="", run=f"soak-{os.getpid()}")
    with section.status("model, artifact"):
        make_checkpoint(work)
        prepare(given)
    with section.part("soak"):
        minutes = soak(given, section, share=options.share, seconds=3600 * options.hours, minute_s=options.minute)
        print_soak(section.console, minutes)
    return minutes


if __name__ == "__main__":
    main()
