"""The benchmark: every case in a process of its own, in turns, on one real Kafka and one real Redis.

In: rounds. Out: tables of medians, ratios, stages and latencies, in the README with `--write`. Knows of a case only
what `plan.Case` says.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis
from case import Given, Measured
from check import Reference
from data import make_topic
from features import FEATURE, VIEW, make_repo
from features import open_store as open_by_hand
from model import HIDDEN, make_checkpoint
from plan import BY_DEFAULT, CASES, Case
from product import begin_history, feature_of, fill_topic, prepare
from product import open_store as open_ours
from readme import Section
from report import print_machine, print_ratios, print_stages, print_table
from report_extra import print_latency, print_scaling, print_series

from undertow.devstack.stack import Stack, ephemeral

HERE = Path(__file__).parent
CASE_TIMEOUT_S = 400


class Bench:
    """One prepared broker and store, in which cases can be run; topics and models are made when first needed."""

    def __init__(self, folder: Path, kafka: str, redis_address: str, pids: dict[str, int], *, quick: bool) -> None:
        self._quick, self._log, self._runs = quick, folder / "cases.log", itertools.count()
        self._redis = redis.Redis.from_url(f"redis://{redis_address}")
        self._is_compiled = False
        self._made: set[str] = set()
        self._references: dict[str, Reference] = {}
        self._given = Given(
            count=0,
            folder=str(folder),
            kafka=kafka,
            redis=redis_address,
            topic="",
            run="prepare",
            pids=pids,
            seconds=5.0 if quick else 20.0,
        )

    def prepare(self, cases: Sequence[Case]) -> None:
        """Make the models and fill the topics that these cases need."""
        for hidden in sorted({case.hidden for case in cases}):
            ours = [case for case in cases if case.hidden == hidden]
            given = self._of(ours[0], is_compiled=any(case.given.get("is_compiled") for case in ours))
            given.path.mkdir()
            make_checkpoint(given.path, hidden=hidden)
            prepare(given)
            if hidden == HIDDEN:
                make_repo(given.path, given.redis)
                self._references[given.folder] = Reference(given.path)
        most = max((self.count(case) for case in cases if case.group != "series"), default=0)
        for case in cases:
            given = self._of(case, count=most)
            if case.reads_topic and given.topic not in self._made:
                make_topic(given.kafka, given.topic, given.partitions)
                fill_topic(given, given.topic)
                self._made.add(given.topic)

    def count(self, case: Case) -> int:
        """Return how many windows it embeds in one run."""
        return case.quick if self._quick else case.count

    def run(self, case: Case) -> tuple[Measured, float | None]:
        """Run it once on an empty store; return what it cost and how far its vectors are from the reference."""
        measured, given = Measured(**self.answer_of(case)), self._of(case)
        if case.store is None:
            return measured, None
        ours = case.store == "ours"
        store = open_ours(given) if ours else open_by_hand(given.path, given.redis)
        feature = feature_of(given) if ours else f"{VIEW}:{FEATURE}"
        return measured, self._references[given.folder].distance(store, feature, measured.series)

    def answer_of(self, case: Case) -> dict[str, Any]:
        """Run a case's module as a process, on an empty store, and return the JSON that it answers."""
        self._redis.flushall()
        given = self._of(case, run=f"bench-{os.getpid()}-{next(self._runs)}")
        if case.writes_log:
            begin_history(given)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
        with self._log.open("wb") as log:
            done = subprocess.run(
                [sys.executable, "-m", f"cases.{case.runs}"],
                cwd=HERE,
                env=environment,
                input=json.dumps(asdict(given)).encode(),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=CASE_TIMEOUT_S,
                check=False,
            )
        if done.returncode != 0:
            sys.exit(f"the case {case.name} failed:\n{self._log.read_text()[-4000:]}")
        return json.loads(done.stdout)

    def _of(self, case: Case, **more: object) -> Given:
        """Return what the case is given."""
        given = {**asdict(self._given), "count": self.count(case), **case.given, **more}
        given["folder"] = str(self._given.path / f"hidden-{case.hidden}")
        given["topic"] = f"bench-{os.getpid()}-{given.get('format')}-{given['partitions']}"
        return Given(**given)


def compare(bench: Bench, cases: Sequence[Case], rounds: int, section: Section) -> None:
    """Run all cases in turns, so that noise of the machine hits them alike, and print what they cost."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    distances: dict[str, float] = {}
    for number in range(rounds):
        for case in cases:
            with section.status(f"round {number + 1} of {rounds}: {case.label}"):
                measured, distance = bench.run(case)
            runs[case.name].append(measured)
            if distance is not None:
                distances[case.name] = max(distance, distances.get(case.name, 0.0))
    labels = {case.name: case.label for case in cases if case.group == "table"}
    if labels:
        with section.part("figures"):
            print_table(section.console, labels, runs, distances)
            print_ratios(section.console, runs)
            print_stages(section.console, labels, runs)
    labels = {case.name: case.label for case in cases if case.group == "scaling"}
    if labels:
        with section.part("scaling"):
            print_scaling(section.console, labels, runs)


def measure(options: argparse.Namespace, cases: Sequence[Case], bench: Bench) -> None:
    """Measure what was chosen: first what runs in turns, then what runs once."""
    section = Section(print_machine, write=options.write)
    with section.status("models, artifacts, topics"):
        bench.prepare(cases)
    turns = [case for case in cases if case.group in {"table", "scaling"}]
    if turns:
        compare(bench, turns, 1 if options.quick else options.rounds, section)
    for group, show in (("latency", print_latency), ("series", print_series)):
        answers = {}
        for case in (case for case in cases if case.group == group):
            with section.status(f"{group}: {case.label}"):
                answers[case.label] = bench.answer_of(case)
        if answers:
            with section.part(group):
                show(section.console, answers)


def pids_of(stack: Stack) -> dict[str, int]:
    """Return the processes of the two servers."""
    return {"broker": stack.kafka_process.pid, "Redis": stack.redis_process.pid}


def main() -> None:
    """Parse, prepare, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works, no more")
    parser.add_argument("--cases", help="only these, separated by commas: " + ", ".join(case.name for case in CASES))
    parser.add_argument("--write", action="store_true", help="put the tables into the README as well")
    parser.add_argument("--kafka", help="host:port of a broker that runs already; with --redis")
    parser.add_argument("--redis", help="host:port of a Redis that may be emptied; with --kafka")
    options = parser.parse_args()
    chosen = options.cases.split(",") if options.cases else BY_DEFAULT
    cases = [case for case in CASES if case.name in chosen]
    if len(cases) != len(chosen) or bool(options.kafka) != bool(options.redis):
        parser.error(f"the cases are {', '.join(case.name for case in CASES)}; --kafka goes with --redis")
    with tempfile.TemporaryDirectory(prefix="undertow-bench-") as name:
        work = Path(name) / "work"
        work.mkdir()
        if options.kafka:
            measure(options, cases, Bench(work, options.kafka, options.redis, {}, quick=options.quick))
        else:
            with ephemeral(Path(name) / "stack") as stack:
                bench = Bench(work, stack.bootstrap, stack.redis, pids_of(stack), quick=options.quick)
                measure(options, cases, bench)


if __name__ == "__main__":
    main()
