"""What was measured, as Markdown: the cases, their ratios beside the targets, and where the CPU went.

In: the runs of each case. Out: text on a console. Knows not how they were made.
"""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from case import Measured
from rich import box
from rich.console import Console
from rich.table import Table

LIBRARIES = ("torch", "pytorch-forecasting", "feast", "ray", "kafka-python", "quixstreams", "redis")
PEERS = ("seed_way", "hand_batched", "quix")
STOPPED, OWN, OWN_COMPILED = "stopped_forward", "own_forward", "own_forward_compiled"
BEST = "two_replicas_arrow_compiled"
RATIOS = (
    ("1 replica, JSON / the model stopped at the tap", "ours", (STOPPED,), 0.85),
    ("1 replica, Arrow / the model stopped at the tap", "ours_arrow", (STOPPED,), 0.9),
    ("1 replica, JSON / Undertow's forward alone", "ours", (OWN,), None),
    ("1 replica, Arrow / Undertow's forward alone", "ours_arrow", (OWN,), None),
    ("1 replica, JSON, compiled / Undertow's forward alone, compiled", "ours_compiled", (OWN_COMPILED,), None),
    ("1 replica, Arrow, compiled / Undertow's forward alone, compiled", "ours_arrow_compiled", (OWN_COMPILED,), None),
    ("1 replica, JSON, compiled / the best peer", "ours_compiled", PEERS, 8.0),
    ("1 replica, Arrow, compiled / the best peer", "ours_arrow_compiled", PEERS, 8.0),
    ("fleet of 2, JSON / the best peer", "two_replicas", PEERS, None),
    ("fleet of 2, Arrow, compiled / the best peer", BEST, PEERS, None),
    ("1 replica, JSON, compiled / one window at a time", "ours_compiled", ("seed_way",), 400.0),
    ("fleet of 2, Arrow, compiled / one window at a time", BEST, ("seed_way",), 400.0),
)
"""What, of which case, over the fastest of which, and the least that it is meant to be."""
HOST_US = {"ours": 30.0, "ours_compiled": 30.0, "ours_arrow": 12.0, "ours_arrow_compiled": 12.0}
"""The most CPU that a window is meant to cost beside the forward."""

Runs = Mapping[str, Sequence[Measured]]


def rate(run: Measured) -> float:
    """Windows a second."""
    return run.windows / run.wall_s


def cpu_us(run: Measured) -> float:
    """CPU of the case's processes, a window."""
    return 1e6 * run.cpu_s / run.windows


def host_us(run: Measured) -> float:
    """CPU of a window besides the forward."""
    return 1e6 * (run.cpu_s - (run.forward_s or 0.0)) / run.windows


def median(runs: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    """Return the median over rounds."""
    return statistics.median(of(run) for run in runs)


def print_machine(console: Console, script: str = "bench") -> None:
    """Say when, where and with what."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    model = names[0] if names else platform.processor()
    libraries = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    command = " ".join(["python", f"tests/bench/{script}.py", *sys.argv[1:]])
    console.print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model}), Python {platform.python_version()},"
    )
    console.print(f"{libraries}; `{command}`", soft_wrap=True)


def print_table(console: Console, labels: Mapping[str, str], runs: Runs, distances: Mapping[str, float]) -> None:
    """Print medians over the rounds, least and greatest in brackets."""
    table = table_of("case", "windows a run", "windows/s", "CPU us/window", "of it the forward", "the rest", "off by")
    for name, label in labels.items():
        rates = [rate(run) for run in runs[name]]
        has_forward = runs[name][0].forward_s is not None
        cpu, host = median(runs[name], cpu_us), median(runs[name], host_us)
        table.add_row(
            label,
            f"{runs[name][0].windows:,}",
            f"{median(runs[name], rate):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
            f"{cpu:,.0f}",
            f"{cpu - host:,.0f}" if has_forward else "",
            f"{host:,.1f}" if has_forward else "",
            f"{distances[name]:.0e}" if name in distances else "",
        )
    console.print(table)


def print_ratios(console: Console, runs: Runs) -> None:
    """Print what the targets are about: ratios of medians of windows/s, and medians of CPU."""
    table = table_of("", "found", "target", "met")
    rates = {name: median(those, rate) for name, those in runs.items()}
    for what, name, others, target in RATIOS:
        there = [rates[other] for other in others if other in rates]
        if name in rates and there:
            add_target(table, what, rates[name] / max(there), target, " x")
    for name, most in HOST_US.items():
        if name in runs:
            what = f"CPU besides the forward, us/window: {name.replace('_', ' ')}"
            add_target(table, what, median(runs[name], host_us), most, "", is_most=True)
    if table.row_count:
        console.print(table)


def add_target(
    table: Table, what: str, found: float, target: float | None, unit: str, *, is_most: bool = False
) -> None:
    """Add what was found, what it is meant to be, and whether it is."""
    met = "" if target is None else ("yes" if (found <= target if is_most else found >= target) else "no")
    sign = "at most" if is_most else "at least"
    table.add_row(what, f"{found:,.2f}{unit}", "" if target is None else f"{sign} {target:g}{unit}", met)


def print_stages(console: Console, labels: Mapping[str, str], runs: Runs) -> None:
    """Print where the CPU of the cases went that can tell, microseconds a window, medians over the rounds."""
    names = [name for name in labels if runs[name][0].stages]
    if not names:
        return
    table = table_of("CPU us/window", *(name.replace("_", " ") for name in names))
    for stage in sorted(runs[names[0]][0].stages, key=lambda stage: -runs[names[0]][0].stages[stage]):
        spent = [median(runs[name], lambda run: 1e6 * run.stages.get(stage, 0.0) / run.windows) for name in names]  # noqa: B023  # called at once
        table.add_row(stage, *(f"{us:.1f}" for us in spent))
    console.print(table)


def table_of(first: str, *headings: str) -> Table:
    """Return an empty table, numbers to the right."""
    table = Table(box=box.MARKDOWN)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
