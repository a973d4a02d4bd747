"""What was measured of a log, as tables: as it grew, beside the same rows without a maintainer, and after a month.

In: looks. Out: text on a console. Knows not how they were made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from log_cases import ASKED, SAMPLE, Look
from log_world import KINDS, PARTITIONS
from report import table_of
from rich.console import Console

from undertow.adapters.offline_table import LEAST_FILES

DAY_S = 86_400.0
MONTH_DAYS = 30
MOST_FILES, MOST_END_MS, MOST_VIEW_S, MOST_VIEW_MIB = 20_000, 50.0, 15.0, 1000.0
SIZES = ("history", "parts so far", "rows", *KINDS, "all files", "MB")
SPENT = ("s", "CPU s", "MiB")
COSTS = (
    *("history", "chain end, ms", "sum up, s", *SPENT[1:], f"view --sample {SAMPLE}, s", *SPENT[1:]),
    *(f"join {ASKED:,} rows, s", *SPENT[1:], "maintain, s", *SPENT[1:]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the run was to be, as far as the report speaks of it."""

    checkpoint_s: float
    every_s: float
    grace_s: float
    rows: int
    """Rows of a part."""


def print_growth(console: Console, begin_s: float, looks: Sequence[Look]) -> None:
    """Print each look at the maintained log."""
    for headings, cells in ((SIZES, sizes), (COSTS, costs)):
        table = table_of(*headings)
        for one in looks:
            table.add_row(*cells(one, begin_s))
        console.print(table)


def sizes(one: Look, begin_s: float) -> tuple[str, ...]:
    """Return how large a log was."""
    files = [one.files.get(kind, 0) for kind in KINDS]
    numbers = (f"{number:,}" for number in (one.parts, one.rows, *files, sum(files)))
    return (age(one, begin_s), *numbers, f"{sum(one.sizes.values()) / 1e6:,.1f}")


def costs(one: Look, begin_s: float) -> tuple[str, ...]:
    """Return what it cost to read and to maintain."""
    spent = [one.summed, one.view, one.join, *([one.maintain] if one.maintain else [])]
    numbers = (f"{said}" for each in spent for said in (f"{each.seconds:.2f}", f"{each.cpu_s:.2f}", f"{each.mib:,.0f}"))
    return (age(one, begin_s), f"{one.end_ms:.1f}", *numbers)


def age(one: Look, begin_s: float) -> str:
    """Return how much history there was."""
    return f"{(one.now_s - begin_s) / 3600:.1f} h"


def print_beside(console: Console, before: Look, after: Look) -> None:
    """Print a log that nobody maintains beside the same rows when they are folded."""
    table = table_of(f"{before.parts:,} parts, {before.rows:,} rows", "not maintained", "folded", "before / after")
    for what, of in QUANTITIES:
        table.add_row(what, f"{of(before):,.2f}", f"{of(after):,.2f}", f"{of(before) / of(after):,.1f} x")
    console.print(table)


QUANTITIES: tuple[tuple[str, Callable[[Look], float]], ...] = (
    ("files", lambda one: float(sum(one.files.values()))),
    ("MB", lambda one: sum(one.sizes.values()) / 1e6),
    ("chain end, ms", lambda one: one.end_ms),
    ("summing up, s", lambda one: one.summed.seconds),
    ("summing up, MiB", lambda one: one.summed.mib),
    (f"view --sample {SAMPLE}, s", lambda one: one.view.seconds),
    (f"view --sample {SAMPLE}, CPU s", lambda one: one.view.cpu_s),
    (f"view --sample {SAMPLE}, MiB", lambda one: one.view.mib),
    (f"join of {ASKED:,} rows, s", lambda one: one.join.seconds),
    (f"join of {ASKED:,} rows, CPU s", lambda one: one.join.cpu_s),
    (f"join of {ASKED:,} rows, MiB", lambda one: one.join.mib),
)


def print_month(console: Console, plan: Plan, begin_s: float, looks: Sequence[Look], most_files: int) -> None:
    """Print what a month comes to: most files, and what grows, by its line through the looks."""
    parts = MONTH_DAYS * DAY_S / plan.checkpoint_s * len(PARTITIONS)
    rows = parts * plan.rows
    table = table_of("", "last look", f"a month: {parts:,.0f} parts, {rows:,.0f} rows", "target", "met")
    for what, found, month, most in (
        ("files at any moment", float(most_files), month_files(plan, begin_s, looks), MOST_FILES),
        *((what, of(looks[-1]), extrapolate(looks, of, rows), most) for what, of, most in GROWING),
        *((f"{what}, most of all looks", of(looks[-1]), most_of(looks, of), most) for what, of, most in BOUNDED),
    ):
        target = ("", "") if most is None else (f"at most {most:,g}", "yes" if month <= most else "no")
        table.add_row(what, f"{found:,.2f}", f"{month:,.2f}", *target)
    console.print(table)


def month_files(plan: Plan, begin_s: float, looks: Sequence[Look]) -> float:
    """Return the most files at any moment of a month.

    They are the parts that wait for their deletion, the most of the table, Delta's log and the notes in any look, and
    what stays of each day that was not run: a file fewer than are merged.
    """
    waiting = len(PARTITIONS) * (plan.grace_s + 2 * plan.every_s) / plan.checkpoint_s
    others = most_of(looks, lambda one: float(sum(one.files.get(kind, 0) for kind in KINDS[1:])))
    return waiting + others + (LEAST_FILES - 1) * max(0.0, MONTH_DAYS - (looks[-1].now_s - begin_s) / DAY_S)


GROWING: tuple[tuple[str, Callable[[Look], float], float | None], ...] = (
    (f"view --sample {SAMPLE}, s", lambda one: one.view.seconds, MOST_VIEW_S),
    (f"view --sample {SAMPLE}, CPU s", lambda one: one.view.cpu_s, None),
    (f"join of {ASKED:,} rows, s", lambda one: one.join.seconds, None),
    (f"join of {ASKED:,} rows, CPU s", lambda one: one.join.cpu_s, None),
)
"""What grows by the rows of history, of a look, and the most that it is meant to be."""
BOUNDED: tuple[tuple[str, Callable[[Look], float], float | None], ...] = (
    ("chain end, ms", lambda one: one.end_ms, MOST_END_MS),
    (f"view --sample {SAMPLE}, MiB", lambda one: one.view.mib, MOST_VIEW_MIB),
    (f"join of {ASKED:,} rows, MiB", lambda one: one.join.mib, None),
    ("a round of maintain, MiB", lambda one: one.maintain.mib if one.maintain else 0.0, None),
    ("summing up, MiB", lambda one: one.summed.mib, None),
)
"""What is not extrapolated."""


def most_of(looks: Sequence[Look], of: Callable[[Look], float]) -> float:
    """Return the greatest."""
    return max(map(of, looks))


def extrapolate(looks: Sequence[Look], of: Callable[[Look], float], rows: float) -> float:
    """Return a quantity with so many rows: the last look's, and from there the line through all; never less."""
    at, last = np.array([float(one.rows) for one in looks]), looks[-1]
    if np.ptp(at) == 0:
        return of(last)
    slope = float(np.polyfit(at - at[0], [of(one) for one in looks], 1)[0])
    return of(last) + max(0.0, slope) * max(0.0, rows - last.rows)
