"""What was measured, as Markdown that can be pasted into the README.

In: the runs of each case. Out: text on a console. Knows neither how they were made nor what they mean.
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
OURS = ("ours", "two_replicas")

Runs = Mapping[str, Sequence[Measured]]


def rate(run: Measured) -> float:
    """Windows a second."""
    return run.windows / run.wall_s


def cpu_us(run: Measured) -> float:
    """CPU of the case's processes, a window."""
    return 1e6 * run.cpu_s / run.windows


def median(runs: Sequence[Measured], of: Callable[[Measured], float]) -> float:
    """Return the median over rounds."""
    return statistics.median(of(run) for run in runs)


def forward_us(runs: Runs, name: str) -> float | None:
    """Return the model's CPU a window: its own, or for us, who cannot look inside, that of the stopped forward."""
    source = "stopped_forward" if name in OURS else name
    if source not in runs:
        return None
    return median(runs[source], lambda run: 1e6 * (run.forward_s or 0.0) / run.windows)


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
    table = Table(box=box.MARKDOWN)
    table.add_column("case")
    for heading in ("windows a run", "windows/s", "CPU us/window", "of it the model", "the rest", "off by"):
        table.add_column(heading, justify="right")
    for name, label in labels.items():
        rates = [rate(run) for run in runs[name]]
        cpu, forward = median(runs[name], cpu_us), forward_us(runs, name)
        table.add_row(
            label,
            f"{runs[name][0].windows:,}",
            f"{median(runs[name], rate):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
            f"{cpu:,.0f}",
            "" if forward is None else f"{forward:,.0f}",
            "" if forward is None else f"{cpu - forward:,.0f}",
            f"{distances[name]:.0e}" if name in distances else "",
        )
    console.print(table)


def print_ratios(console: Console, labels: Mapping[str, str], runs: Runs) -> None:
    """Print how many times faster we are; the ratio of medians of windows/s."""
    rates = {name: median(runs[name], rate) for name in labels}
    peers = [name for name in PEERS if name in rates]
    for ours in (name for name in OURS if name in rates):
        ratios = [f"{rates[ours] / rates[peer]:,.2f} x {labels[peer]}" for peer in peers]
        ratios += [
            f"{rates[ours] / rates[name]:.2f} x {labels[name]}"
            for name in ("full_forward", "stopped_forward")
            if name in rates
        ]
        console.print(f"{labels[ours]}: " + "; ".join(ratios), soft_wrap=True)


def print_latency(console: Console, answer: Mapping[str, float]) -> None:
    """Print append to readable."""
    console.print(
        f"Append to readable at {answer['rate']:,.0f} windows/s, half of the fleet's: "
        f"p50 {answer['p50_ms']:.0f} ms, p99 {answer['p99_ms']:.0f} ms ({answer['watched']} watched from outside);"
    )
    console.print(
        f"by the fleet's own account p50 {answer['own_p50_ms']:.0f} ms, p99 {answer['own_p99_ms']:.0f} ms (all windows)"
    )
