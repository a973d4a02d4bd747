"""Raw observations in a stream: Undertow beside Quix Streams and beside a deque for each series, over one real Kafka.

In: how much. Out: Markdown tables on a console. Starts a broker of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from case import Given, Measured
from data import make_topic
from observed_costs import costs_of
from observed_data import SERIES, STEPS, fill, windows_of
from rich import box
from rich.console import Console
from rich.table import Table

from undertow.devstack.stack import ephemeral

HERE = Path(__file__).parent
TIMEOUT_S = 900
PARTITIONS = 4
CASES = {
    "observed_ours": "Undertow's stream of observations",
    "observed_by_hand": "a deque and a DataFrame for each series",
    "observed_quix": "Quix Streams, sliding window",
}
TARGETS = {"observation": 3.0, "window": 10.0}
"""Microseconds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is measured."""

    rounds: int
    observations: int
    """Of the topic."""
    costs: int
    """Observations."""
    held: int
    """Series."""


FULL = Amounts(rounds=3, observations=200 * SERIES, costs=100 * SERIES, held=2_000_000)
QUICK = Amounts(rounds=1, observations=(STEPS + 4) * SERIES, costs=2 * SERIES, held=20_000)


def print_stream(console: Console, amounts: Amounts) -> None:
    """Run the cases in turns, and print what an observation costs in each. Exits where their windows differ."""
    runs: dict[str, list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="undertow-bench-") as name, ephemeral(Path(name) / "stack") as stack:
        topic = f"bench-observations-{os.getpid()}"
        make_topic(stack.bootstrap, topic, PARTITIONS)
        fill(stack.bootstrap, topic, amounts.observations, PARTITIONS)
        for number in range(amounts.rounds):
            for case, words in CASES.items():
                given = Given(
                    count=amounts.observations,
                    folder=name,
                    kafka=stack.bootstrap,
                    redis=stack.redis,
                    topic=topic,
                    run=f"{case}-{number}",
                    partitions=PARTITIONS,
                )
                with console.status(f"round {number + 1} of {amounts.rounds}: {words}"):
                    runs[case].append(Measured(**_answer([f"cases.{case}"], asdict(given), Path(name) / "cases.log")))
    found = {(one.windows, one.stages["total"]) for measured in runs.values() for one in measured}
    if len(found) > 1 or next(iter(found))[0] != windows_of(amounts.observations):
        sys.exit(f"expected the same {windows_of(amounts.observations):,} windows of all cases, found {sorted(found)}")
    table = Table("case", "observations/s", "CPU us/observation", "x ours", box=box.MARKDOWN)
    cpu = {case: median(1e6 * one.cpu_s / amounts.observations for one in measured) for case, measured in runs.items()}
    for case, measured in runs.items():
        speed = median(amounts.observations / one.wall_s for one in measured)
        table.add_row(CASES[case], f"{speed:,.0f}", f"{cpu[case]:.1f}", f"{cpu[case] / cpu['observed_ours']:.1f}")
    console.print(table)


def print_costs(console: Console, amounts: Amounts) -> None:
    """Print what an observation and a window cost, least of the rounds."""
    with console.status("costs"):
        rounds = [asdict(costs_of(amounts.costs)) for _ in range(amounts.rounds)]
    least = {name: min(one[name] for one in rounds) for name in rounds[0]}
    table = Table("CPU, us", "found", "target", "met", box=box.MARKDOWN)
    words = {
        "decode": "an observation's record, read from JSON",
        "observation": "an observation, beside that",
        "window": "a window, beside its observation",
    }
    for name, text in words.items():
        target = TARGETS.get(name)
        met = "" if target is None else "yes" if least[name] <= target else "no"
        table.add_row(text, f"{least[name]:.1f}", "" if target is None else f"at most {target:g}", met)
    console.print(table)


def print_held(console: Console, amounts: Amounts) -> None:
    """Print what a series that is held costs, in memory and in a file."""
    table = Table(
        f"{amounts.held:,} series, {STEPS} steps of 3 columns",
        "bytes of memory a series",
        "bytes in a file",
        "most memory, MB",
        "us/observation, 1 % of them hot",
        "a quarter copied, s",
        box=box.MARKDOWN,
    )
    with tempfile.TemporaryDirectory(prefix="undertow-bench-") as name:
        for words, folder in (("in memory", ""), ("windows.held_path", name)):
            with console.status(f"held: {words}"):
                given = {"series": amounts.held, "folder": folder}
                found = _answer(["observed_held"], given, Path(name) / "held.log")
            cells = [f"{found[key]:,.0f}" for key in ("memory", "file", "most_mb")]
            table.add_row(words, *cells, f"{found['us']:.1f}", f"{found['copied']:.1f}")
    console.print(table)


def _answer(module: list[str], given: dict[str, Any], log: Path) -> dict[str, Any]:
    """Run a module as a process, and return the JSON that it answers."""
    with log.open("wb") as errors:
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=HERE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            input=json.dumps(given).encode(),
            stdout=subprocess.PIPE,
            stderr=errors,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"{module[0]} failed:\n{log.read_text()[-4000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
