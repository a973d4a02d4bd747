"""What was measured beside the table of cases, as Markdown: scaling, latency, memory by series.

In: the answers of these cases. Out: text on a console. Knows not how they were made.
"""

from collections.abc import Mapping
from typing import Any

from report import Runs, add_target, cpu_us, median, rate, table_of
from rich.console import Console

TARGETS_MS = {(0.5, "p50_ms"): 10.0, (0.5, "p99_ms"): 50.0, (0.9, "p99_ms"): 250.0}
SCALING = (
    ("2 replicas / 1 replica, a heavy model, windows/s", "heavy_2", "heavy_1", 1.9),
    ("4 replicas / 1 replica, a heavy model, windows/s", "heavy_4", "heavy_1", None),
    ("8 replicas / 1 replica, a heavy model, windows/s", "heavy_8", "heavy_1", None),
    ("64 partitions / 8 partitions, windows/s", "partitions_64", "partitions_8", 1.0),
)
GROWTH_MIB = 16.0
"""The most that a replica may grow between the first and the last look."""


def print_scaling(console: Console, labels: Mapping[str, str], runs: Runs) -> None:
    """Print replicas and partitions."""
    table = table_of("case", "windows a run", "windows/s", "CPU us/window")
    for name, label in labels.items():
        rates = [rate(run) for run in runs[name]]
        table.add_row(
            label,
            f"{runs[name][0].windows:,}",
            f"{median(runs[name], rate):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
            f"{median(runs[name], cpu_us):,.0f}",
        )
    console.print(table)
    ratios = table_of("", "found", "target", "met")
    for what, name, other, target in SCALING:
        if name in labels and other in labels:
            add_target(ratios, what, median(runs[name], rate) / median(runs[other], rate), target, " x")
    if ratios.row_count:
        console.print(ratios)


def print_latency(console: Console, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Print append to readable, and who used the cores meanwhile."""
    table = table_of("append to readable", "most, windows/s", "load", "windows/s", "watched", "p50 ms", "p99 ms", "met")
    batches = table_of("a replica's batch", "windows", "embed ms", "write online ms")
    processes = sorted(
        {name for answer in answers.values() for one in answer["steady"] for name in one["cores"]},
        key=lambda name: -max(one["cores"].get(name, 0.0) for a in answers.values() for one in a["steady"]),
    )
    cores = table_of("cores used", *processes, "all")
    for label, answer in answers.items():
        for one in answer["steady"]:
            met = [one[key] <= most for (share, key), most in TARGETS_MS.items() if share == one["share"]]
            load = f"{100 * one['share']:.0f} %"
            table.add_row(
                label,
                f"{answer['most']:,.0f}",
                load,
                f"{one['rate']:,.0f}",
                f"{one['watched']:,}",
                f"{one['p50_ms']:.1f}",
                f"{one['p99_ms']:.1f}",
                "yes" if all(met) else "no",
            )
            batches.add_row(f"{label}, {load}", *(f"{one[key]:.1f}" for key in ("batch", "embed_ms", "write_ms")))
            used = [one["cores"].get(name) for name in processes]
            cores.add_row(
                f"{label}, {load}",
                *("" if share is None else f"{share:.2f}" for share in used),
                f"{sum(share or 0.0 for share in used):.2f}",
            )
    console.print(table)
    console.print(
        "Targets: at 50 % p50 at most 10 ms and p99 at most 50 ms, at 90 % p99 at most 250 ms.", soft_wrap=True
    )
    console.print(batches)
    console.print(cores)


def print_series(console: Console, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Print memory after so many distinct series."""
    for answer in answers.values():
        table = table_of("distinct series", "replica, MiB", "Redis, MiB")
        for series, replica, redis in zip(answer["series"], answer["replica_mib"], answer["redis_mib"], strict=True):
            table.add_row(f"{series:,}", f"{replica:,.0f}", f"{redis:,.0f}")
        console.print(table)
        grown = answer["replica_mib"][-1] - answer["replica_mib"][0]
        verdict = table_of("", "found", "target", "met")
        add_target(verdict, "growth of the replica, MiB", grown, GROWTH_MIB, "", is_most=True)
        console.print(verdict)
