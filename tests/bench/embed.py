"""The embedding benchmark: our embedding of tensors beside the model's own forward on the same ones, in one process.

In: rounds. Out: a table of medians and their ratios. Knows of a model only what `embed_cases.Case` says.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from embed_cases import PLAIN, Case, make_transformer, plain_case, transformer_case
from report import print_machine
from rich import box
from rich.console import Console
from rich.table import Table

from undertow.artifact.load.loader import find_device

SIZES = (1, 64, 256, 1024, 4096)
GPU_SIZES = (*SIZES, 16_384, 65_536)
BATCH = 256
LEAST_S = 0.01
"""Each measurement repeats what it measures for about so long."""
CONSOLE = Console(width=240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Seconds of one call, by round."""

    case: Case
    threads: int
    seconds: dict[str, list[float]]

    def median(self, what: str) -> float:
        """Return the median."""
        return statistics.median(self.seconds[what])

    def ratio(self, what: str, of: Callable[[list[float]], float] = statistics.median) -> float:
        """Return how many times faster ours is."""
        return of(self.seconds[what]) / of(self.seconds["ours"])

    def us(self, what: str) -> float:
        """Return the median for one window, in microseconds."""
        return 1e6 * self.median(what) / self.case.windows


def measure(case: Case, threads: int, rounds: int) -> Row:
    """Run all ways in turns, so that what else the machine does hits all alike."""
    torch.set_num_threads(threads)
    ways = {"plain": case.plain, "stopped": case.stopped, "ours": case.ours}
    more = {"compiled": case.compiled, "inputs": case.inputs}
    ways |= {name: way for name, way in more.items() if way is not None}
    repeats = {}
    for name, way in ways.items():
        way()
        repeats[name] = max(1, round(LEAST_S / clock(way, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(clock(way, repeats[name]))
    return Row(case=case, threads=threads, seconds=seconds)


def clock(way: Callable[[], object], repeats: int) -> float:
    """Return the seconds of one call."""
    begin = time.perf_counter()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - begin) / repeats


def print_rows(rows: list[Row]) -> None:
    """Print one line for each row."""
    table = Table(box=box.MARKDOWN)
    table.add_column("model")
    headings = ("threads", "windows", "plain, us/window", "stopped at the tap", "ours", "x plain", "least / least")
    more = ("ours, ms/batch", "compiled, us/window", "ours / compiled", "inputs, us/window", "off by")
    for heading in (*headings, *more):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.case.name,
            str(row.threads),
            f"{row.case.windows:,}",
            f"{row.us('plain'):,.1f}",
            f"{row.us('stopped'):,.1f}",
            f"{row.us('ours'):,.1f}",
            f"{row.ratio('plain'):.2f}",
            f"{row.ratio('plain', min):.2f}",
            f"{1e3 * row.median('ours'):.2f}",
            f"{row.us('compiled'):,.1f}" if "compiled" in row.seconds else "",
            f"{row.median('ours') / row.median('compiled'):.2f}" if "compiled" in row.seconds else "",
            f"{row.us('inputs'):.1f}" if "inputs" in row.seconds else "",
            f"{row.case.off:.0e}",
        )
    CONSOLE.print(table)


def print_memory(case: Case, batches: int) -> None:
    """Print how much the process has grown after its first tenth; before anything larger has run in it."""
    first = max(1, batches // 10)
    clock(case.ours, first)
    before = psutil.Process().memory_info().rss
    clock(case.ours, batches - first)
    grown = psutil.Process().memory_info().rss - before
    CONSOLE.print(
        f"{batches:,} batches of {case.windows} windows: the memory grew by {grown / 2**20:.1f} MiB after the first "
        f"{first:,} ({before / 2**20:,.0f} MiB)."
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=100_000, help="for the memory, of 4 windows each")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--quick", action="store_true", help="show that everything works, and measure nothing")
    given = parser.parse_args()
    device = find_device(given.device)
    on_cpu = device.type == "cpu"
    rounds, batches, sizes = given.rounds, given.batches, SIZES if on_cpu else GPU_SIZES
    if given.quick:
        rounds, batches, sizes = 3, 200, (1, BATCH)
    warnings.filterwarnings("ignore", module="lightning|pytorch_forecasting")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        make_transformer(Path(folder), is_compiled=on_cpu)
        print_machine(CONSOLE, "embed")
        if not on_cpu:
            CONSOLE.print(f"GPU: {torch.cuda.get_device_name(device)}")
        print_memory(transformer_case(Path(folder), 4, 1, device), batches)
        rows = []
        for threads in (1, 2) if on_cpu else (1,):
            rows += [measure(transformer_case(Path(folder), size, threads, device), threads, rounds) for size in sizes]
            rows += [measure(plain_case(name, BATCH, device), threads, rounds) for name in PLAIN]
        print_rows(rows)


if __name__ == "__main__":
    main()
