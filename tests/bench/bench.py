"""The benchmark: every case in a process of its own, in turns, on one real Kafka and one real Redis.

In: rounds. Out: a table of medians, ratios, and latencies. Knows of a case only what `case.Measured` says.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis
from case import Given, Measured
from check import Reference
from data import encoded, fill, make_topic
from features import FEATURE, VIEW, make_repo
from features import open_store as open_by_hand
from model import BATCH, make_checkpoint
from product import feature_of, prepare
from product import open_store as open_ours
from report import print_latency, print_machine, print_ratios, print_table
from rich.console import Console

from workers.devstack.stack import ephemeral

HERE = Path(__file__).parent
CASE_TIMEOUT_S = 300
LOAD_S = 20.0
CONSOLE = Console(width=160)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table: a module in `cases/`, and how much work it gets."""

    name: str
    label: str
    count: int
    quick: int
    store: str | None = None
    """Where its rows are: `ours`, `by_hand`, or nowhere."""


CASES = (
    Case(name="full_forward", label="model alone: the whole forward", count=40 * BATCH, quick=8 * BATCH),
    Case(name="stopped_forward", label="model alone: stopped at the tap", count=80 * BATCH, quick=8 * BATCH),
    Case(name="ours", label="Undertow, 1 replica", count=160 * BATCH, quick=32 * BATCH, store="ours"),
    Case(name="two_replicas", label="Undertow, fleet of 2 replicas", count=160 * BATCH, quick=32 * BATCH, store="ours"),
    Case(name="seed_way", label="one window at a time, hook, push", count=60, quick=20, store="by_hand"),
    Case(name="hand_batched", label="batches of 256 by hand, push", count=16 * BATCH, quick=4 * BATCH, store="by_hand"),
    Case(name="quix", label="Quix Streams, batches of 256, push", count=16 * BATCH, quick=4 * BATCH, store="by_hand"),
)


class Bench:
    """One prepared folder, topic and store, in which cases can be run."""

    def __init__(self, folder: Path, kafka: str, redis_address: str, *, quick: bool) -> None:
        self._quick, self._log, self._runs = quick, folder / "cases.log", itertools.count()
        self._redis = redis.Redis.from_url(f"redis://{redis_address}")
        self._given = Given(
            count=max(self.count(case) for case in CASES),
            folder=str(folder),
            kafka=kafka,
            redis=redis_address,
            topic=f"bench-{os.getpid()}",
            run="prepare",
        )
        make_topic(kafka, self._given.topic)
        fill(kafka, self._given.topic, list(encoded(0, self._given.count)))
        make_checkpoint(folder)
        make_repo(folder, redis_address)
        prepare(self._given)
        self._reference = Reference(folder)

    def count(self, case: Case) -> int:
        """Return how many windows it embeds in one run."""
        return case.quick if self._quick else case.count

    def run(self, case: Case) -> tuple[Measured, float | None]:
        """Run it once on an empty store; return what it cost and how far its vectors are from the reference."""
        measured = Measured(**self.answer_of(case.name, count=self.count(case)))
        if case.store is None:
            return measured, None
        ours = case.store == "ours"
        store = open_ours(self._given) if ours else open_by_hand(self._given.path, self._given.redis)
        feature = feature_of(self._given) if ours else f"{VIEW}:{FEATURE}"
        return measured, self._reference.distance(store, feature, measured.series)

    def answer_of(self, name: str, *, count: int, rate: float = 0.0) -> dict[str, Any]:
        """Run a case's module as a process, on an empty store, and return the JSON that it answers."""
        self._redis.flushall()
        run = f"{self._given.topic}-{next(self._runs)}"
        given = Given(**{**asdict(self._given), "count": count, "run": run, "rate": rate})
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
        with self._log.open("wb") as log:
            done = subprocess.run(
                [sys.executable, "-m", f"cases.{name}"],
                cwd=HERE,
                env=environment,
                input=json.dumps(asdict(given)).encode(),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=CASE_TIMEOUT_S,
                check=False,
            )
        if done.returncode != 0:
            sys.exit(f"the case {name} failed:\n{self._log.read_text()[-4000:]}")
        return json.loads(done.stdout)


def compare(bench: Bench, cases: list[Case], rounds: int) -> dict[str, list[Measured]]:
    """Run all cases in turns, so that noise of the machine hits them alike, and print the table."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    distances: dict[str, float] = {}
    for number in range(rounds):
        for case in cases:
            with CONSOLE.status(f"round {number + 1} of {rounds}: {case.label}"):
                measured, distance = bench.run(case)
            runs[case.name].append(measured)
            if distance is not None:
                distances[case.name] = max(distance, distances.get(case.name, 0.0))
    labels = {case.name: case.label for case in cases}
    print_table(CONSOLE, labels, runs, distances)
    print_ratios(CONSOLE, labels, runs)
    return runs


def main() -> None:
    """Parse, prepare, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works, no more")
    parser.add_argument("--cases", help="only these, by the names of their modules, separated by commas")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--kafka", help="host:port of a broker that runs already; with --redis")
    parser.add_argument("--redis", help="host:port of a Redis that may be emptied; with --kafka")
    options = parser.parse_args()
    chosen = options.cases.split(",") if options.cases else [case.name for case in CASES]
    cases = [case for case in CASES if case.name in chosen]
    if len(cases) != len(chosen) or bool(options.kafka) != bool(options.redis):
        parser.error(f"the cases are {', '.join(case.name for case in CASES)}; --kafka goes with --redis")
    with tempfile.TemporaryDirectory(prefix="undertow-bench-") as folder:
        if options.kafka:
            measure(options, cases, Path(folder), options.kafka, options.redis)
        else:
            with ephemeral(Path(folder) / "stack") as stack:
                measure(options, cases, Path(folder), stack.bootstrap, stack.redis)


def measure(options: argparse.Namespace, cases: list[Case], folder: Path, kafka: str, redis_address: str) -> None:
    """Measure throughput, then latency at half of the fleet's."""
    work = folder / "work"
    work.mkdir()
    bench = Bench(work, kafka, redis_address, quick=options.quick)
    print_machine(CONSOLE)
    runs = compare(bench, cases, 1 if options.quick else options.rounds)
    if "two_replicas" in runs and not options.no_latency:
        rates = sorted(run.windows / run.wall_s for run in runs["two_replicas"])
        rate = rates[len(rates) // 2] / 2
        seconds = LOAD_S / 4 if options.quick else LOAD_S
        with CONSOLE.status("latency at half load"):
            answer = bench.answer_of("latency", count=int(rate * seconds), rate=rate)
        print_latency(CONSOLE, answer)


if __name__ == "__main__":
    main()
